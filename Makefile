# make          installs into .venv and builds the default: all datasets from their stand-ins
# make test     installs into .venv and runs the tests
# make check    the linters, the types and the workflow's own lint: the hooks of pre-commit
# make client   installs into .client what else should open our files: the official client, mlcroissant, datasets, webdataset, zarr
# make cluster  installs into .venv what Snakemake submits jobs with
# make plugins  installs the same into .cluster, for the tests

PYTHON ?= python3
CORES ?= $(shell $(PYTHON) -c 'import os; print(os.cpu_count())')
BIN := .venv/bin
PIP := -m pip install --quiet --disable-pip-version-check
# the locks are complete; without --no-deps a pip that also obeys a constraints file refuses extras in them
LOCKED := $(PIP) --require-hashes --no-deps
# not locked by hash: builds with and without CUDA are different files of one version
TORCH := torch==2.13.0

.PHONY: default test check client cluster plugins install clean

default: .venv/.run
	$(BIN)/snakemake --cores $(CORES)

test: .venv/.dev
	$(BIN)/python -m pytest -n $(CORES) --dist worksteal

check: .venv/.dev
	$(BIN)/pre-commit run --all-files --show-diff-on-failure

client: .client/.made

install: .venv/.run

cluster: .venv/.run
	$(BIN)/python $(LOCKED) -r requirements-cluster.lock

plugins: .cluster/.made

clean:
	rm -rf .venv .client .cluster results .snakemake

.venv/bin/python .client/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "Python 3.11 to 3.13 is needed; name one with: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(firstword $(subst /, ,$@))

.venv/.run: requirements.lock pyproject.toml | .venv/bin/python
	$(BIN)/python $(LOCKED) -r requirements.lock
	@touch $@

.venv/.dev: requirements-dev.lock requirements.lock pyproject.toml | .venv/bin/python
	$(BIN)/python $(LOCKED) -r requirements-dev.lock
	@touch $@

# the client asks for torchvision too, but only its own downloads use it
.client/.made: requirements-client.lock | .client/bin/python
	.client/bin/python $(LOCKED) -r requirements-client.lock
	.client/bin/python $(PIP) --no-warn-conflicts $(TORCH)
	@touch $@

# apart from .venv: installed there, each plugin slows every start of Snakemake
.cluster/.made: requirements-cluster.lock | .venv/bin/python
	$(BIN)/python $(LOCKED) --upgrade --target .cluster -r requirements-cluster.lock
	@touch $@
