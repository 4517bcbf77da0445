"""What the tests share: the real files, the stand-ins (made once), and a build without a workflow manager."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from preprocess import miniature
from preprocess.acquire.digests import DigestCache
from tests.builds import GOOD, Build, audit, build, unpack
from tests.servers import Server, serving

ROOT = Path(__file__).parents[1]
settings.register_profile("unhurried", deadline=None)  # a busy machine is no failure
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real files, or a skip that says how to get it."""
    folder = os.environ.get("MEDMNIST_REAL")
    if not folder:
        pytest.skip("MEDMNIST_REAL does not name the folder of real files")
    if not Path(folder).is_dir():
        pytest.fail(f"MEDMNIST_REAL names {folder}, which is not a folder")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def client() -> Path:
    """The folder of commands of the clients' environment, or a skip that says how to get it."""
    if not (ROOT / ".client" / ".made").exists():
        pytest.skip("the environment of the clients is not there; make it with: make client")
    return ROOT / ".client" / "bin"


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give a source's generated raw folder; made once a session, not to be changed."""
    base = tmp_path_factory.mktemp("miniature")

    def of_source(source: str) -> Path:
        if not (base / source).exists():
            miniature.generate(source, base / source)
        return base / source

    return of_source


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished build of BreastMNIST at 28 through the workflow; copied by the tests that change it."""
    from tests.test_workflow import snakemake

    folder = tmp_path_factory.mktemp("finished")
    shutil.copy(ROOT / "config.yaml", folder)
    snakemake(folder, "breastmnist")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to run the workflow in."""
    shutil.copy(ROOT / "config.yaml", tmp_path)
    return tmp_path


@pytest.fixture
def builder(tmp_path: Path) -> Callable[..., Build]:
    """Build a dataset in-process into a temporary folder; see :func:`tests.builds.build`."""

    def run(dataset: str, raw: Path, **options: object) -> Build:
        return build(dataset, raw, tmp_path / f"{dataset}-{len(list(tmp_path.iterdir()))}", **options)  # type: ignore[arg-type]

    return run


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A web server on loopback that misbehaves as it is told."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with serving(Server()) as running:
        yield running


@pytest.fixture
def tree(stand_in: Callable[[str], Path], tmp_path: Path) -> Path:
    """BUSI's stand-in, unpacked to be spoilt."""
    return unpack(stand_in("busi") / "Dataset_BUSI.zip", tmp_path / "raw")


@pytest.fixture(scope="session")
def drawn(
    stand_in: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Build, str, dict[str, Any], Path]:
    """The default BreastMNIST of the stand-ins: its build, page, part of audit.json, and folder."""
    folder = tmp_path_factory.mktemp("drawn")
    done = build("breastmnist", stand_in("busi"), folder / "built")
    page, data = audit(done, stand_in("busi"), folder)
    return done, page, data, folder


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A raw folder of one archive, ``busi/data.zip``."""
    (tmp_path / "raw" / "busi").mkdir(parents=True)
    (tmp_path / "raw" / "busi" / "data.zip").write_bytes(GOOD)
    return tmp_path / "raw"


@pytest.fixture
def memory(tmp_path: Path) -> DigestCache:
    """What is remembered of the files of ``raw``."""
    return DigestCache(tmp_path / "cache", "busi", tmp_path / "raw")


@pytest.fixture
def _log_as_before() -> Iterator[None]:
    """Gives back how the tests' process logs."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before
