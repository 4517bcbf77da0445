# make          installs into .venv and builds the default: all datasets from their stand-ins
# make test     installs into .venv and runs the tests
# make check    the linters, the types and the workflow's own lint

PYTHON ?= python3
CORES ?= $(shell $(PYTHON) -c 'import os; print(os.cpu_count())')
BIN := .venv/bin
# the locks are complete; without --no-deps a pip that also obeys a constraints file refuses extras in them
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps

.PHONY: default test check install clean

default: .venv/.run
	$(BIN)/snakemake --cores $(CORES)

test: .venv/.dev
	$(BIN)/python -m pytest -n $(CORES) --dist worksteal

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

install: .venv/.run

clean:
	rm -rf .venv results .snakemake

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "Python 3.11 to 3.13 is needed; name one with: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.run: requirements.lock pyproject.toml | .venv/bin/python
	$(INSTALL) -r requirements.lock
	@touch $@

.venv/.dev: requirements-dev.lock requirements.lock pyproject.toml | .venv/bin/python
	$(INSTALL) -r requirements-dev.lock
	@touch $@
