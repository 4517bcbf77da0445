"""The first look at raw files: whole, half, broken and foreign ones told apart; a report that says nothing private."""

from __future__ import annotations

import gzip
import io
import json
import re
import shutil
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from preprocess import environment, miniature, recipe
from preprocess.acquire import registry
from preprocess.decisions import EVIDENCE
from preprocess.errors import PreprocessError
from preprocess.inspection import expected, masking, report, survey
from preprocess.inspection.look import Wish, look
from preprocess.inspection.report import Report
from preprocess.plan.plan import Plan
from preprocess.reading import dicom
from preprocess.reading.archives import Raw, is_junk, is_tar, is_zip
from preprocess.reading.picture import Picture
from tests.builds import names_of_source, run
from tests.test_workflow import ROOT, snakemake

SOURCES = sorted({recipe.read(name)["source"] for name in recipe.names()})


def looked(source: str, root: Path, drawn: bool = True, protocol: str = "paper", cache: Path | None = None) -> Report:
    """One look at ``root/<source>``, without a word."""
    cache = cache or root / "cache"
    wish = Wish(source, root, protocol, {}, (28,), (28,), 42, drawn, cache)
    return look(wish, lambda line: None)


@pytest.fixture
def copied(stand_in, tmp_path) -> Callable[[str], Path]:
    """A copy of a source's stand-in that may be spoilt, in a raw folder of its own."""

    def copy(source: str) -> Path:
        shutil.copytree(stand_in(source), tmp_path / "raw" / source)
        return tmp_path / "raw"

    return copy


# ---- whole, half, broken, foreign


@pytest.mark.parametrize("source", SOURCES)
def test_a_whole_stand_in_is_complete(source, copied):
    found = looked(source, copied(source))
    assert (found.state, found.traceback, found.unreadable) == ("complete", (), ())
    assert sorted(one.name for one in found.datasets) == names_of_source(source)
    for one in found.datasets:
        assert one.builds == "yes"
        known = miniature.census(one.name)  # the generator's own counts
        assert {name: there for name, _, there in one.counts} == known
        assert sum(one.by_class.values()) >= one.samples or recipe.dataset(one.name).task == "multi-label"
    assert 0 < found.opened <= survey.OPENED
    if source != "adrenal":  # its stand-in is a holder's own masks, of which no layout is published
        assert any(one.source == source and one.usable for one in found.layouts)
    assert sum(files for files, _ in found.patterns.values()) == found.files == sum(found.kinds.values())


def data_files(folder: Path) -> list[Path]:
    """The files that hold most of a source: its archives, else what is there most."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    packed = [path for path in files if is_zip(path.name) or is_tar(path.name)]
    if packed:
        return packed
    suffix, _ = Counter(path.suffix for path in files).most_common(1)[0]
    return [path for path in files if path.suffix == suffix]


def halve(folder: Path) -> None:
    """Leave out every second file of the most frequent kind, in whatever it is packed."""
    for path in data_files(folder):
        if is_zip(path.name):
            with zipfile.ZipFile(path) as archive:
                members = {info: archive.read(info) for info in archive.infolist()}
            inner = [info for info in members if is_zip(info.filename)]
            if inner and len(members) < 4:
                inside = folder.parent / "inner"
                inside.mkdir()
                for info in inner:
                    (inside / "x.zip").write_bytes(members[info])
                    halve(inside)
                    members[info] = (inside / "x.zip").read_bytes()
                shutil.rmtree(inside)
            elif len(members) > 3:
                kinds = Counter(Path(info.filename).suffix for info in members if not is_junk(info.filename))
                most = [
                    info
                    for info in members
                    if Path(info.filename).suffix == kinds.most_common(1)[0][0] and not is_junk(info.filename)
                ]
                for info in most[::2]:
                    del members[info]
            with zipfile.ZipFile(path, "w") as archive:
                for info, data in members.items():
                    archive.writestr(info, data)
        elif is_tar(path.name):
            with tarfile.open(path) as archive:
                kept = [(info, archive.extractfile(info).read()) for info in archive if info.isfile()][1::2]
            with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
                for info, data in kept:
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
    loose = data_files(folder)
    if not any(is_zip(path.name) or is_tar(path.name) for path in loose):
        for path in loose[::2]:
            path.unlink()


@pytest.mark.parametrize("source", [source for source in SOURCES if source != "adrenal"])  # that is one file
def test_half_a_stand_in_is_incomplete(source, copied):
    root = copied(source)
    before = looked(source, root)
    if source == "lits":  # one zip a volume
        for path in sorted((root / source).glob("volume-*"))[::2]:
            path.unlink()
    halve(root / source)
    found = looked(source, root)
    assert found.state == "incomplete", found.why
    assert found.files < before.files
    assert not all(one.builds == "yes" for one in found.datasets)


@pytest.mark.parametrize("source", SOURCES)
def test_a_broken_stand_in_is_broken(source, copied):
    """The largest file is cut in the middle: an archive cannot be listed, a file of its own cannot be read."""
    root = copied(source)
    path = max(data_files(root / source), key=lambda path: path.stat().st_size)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = looked(source, root)
    assert found.state == "broken", (found.state, found.why)
    assert not all(one.builds == "yes" for one in found.datasets) or found.unreadable
    assert found.traceback == ()


@pytest.mark.parametrize("source", SOURCES)
def test_a_foreign_collection_is_foreign(source, stand_in, tmp_path):
    other = "busi" if source != "busi" else "intra"
    shutil.copytree(stand_in(other), tmp_path / "raw" / source)
    found = looked(source, tmp_path / "raw")
    assert found.state == "foreign", (found.state, found.why)
    assert f"it looks like {other}" in found.why
    assert all(one.builds == "no" and one.why for one in found.datasets)


def test_nothing_is_missing(tmp_path):
    assert looked("busi", tmp_path).state == "missing"


def test_an_edition_that_cannot_be_used_is_told(tmp_path):
    folder = tmp_path / "lits" / "Task03_Liver" / "imagesTr"
    folder.mkdir(parents=True)
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.diag([2, 2, 2, 1])), folder / "liver_0.nii.gz")
    found = looked("lits", tmp_path, drawn=False)
    assert found.state == "unusable"
    assert "other numbering, not accepted" in found.why


# ---- archives are read once, and the sample is the same whatever they are


def packed(path: Path, pictures: int) -> None:
    """BUSI's tree with so many small pictures, of 2 x 1 pixels but one, as a zip or a tar."""

    def picture(edge: int) -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", (edge, 1)).save(buffer, "PNG")
        return buffer.getvalue()

    small, odd = picture(2), picture(3)
    names = [f"Dataset_BUSI_with_GT/benign/benign ({number}).png" for number in range(1, pictures + 1)]
    if is_zip(path.name):
        with zipfile.ZipFile(path, "w") as archive:
            for number, name in enumerate(names):
                archive.writestr(name, odd if number == 7 else small)
        return
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for number, name in enumerate(names):
            info = tarfile.TarInfo(name)
            data = odd if number == 7 else small
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.tar"])
def test_an_archive_is_read_once(name, tmp_path, monkeypatch):
    (tmp_path / "busi").mkdir()
    packed(tmp_path / "busi" / name, 2000)
    passes: Counter[str] = Counter()

    def counted(kind: str, function: Callable[[Raw, str], Iterator[tuple[str, int]]]):
        def listing(self: Raw, path: str) -> Iterator[tuple[str, int]]:
            passes[kind] += 1
            return function(self, path)

        return listing

    monkeypatch.setattr(Raw, "_tar_members", counted("tar", Raw._tar_members))
    reads = Counter[str]()
    read = Raw.read
    monkeypatch.setattr(Raw, "read", lambda self, path: (reads.update([path]), read(self, path))[1])
    found = looked("busi", tmp_path, drawn=False)
    assert found.files == 2000
    assert found.opened == survey.OPENED
    assert passes["tar"] == (name != "x.zip")
    assert max(reads.values()) == 1
    (dataset,) = found.datasets
    assert ("benign", 437, 2000) in dataset.counts
    (width,) = (one for one in found.headers if one.trait == "width")
    assert sum(width.values.values()) == survey.OPENED


def test_the_same_files_give_the_same_report(stand_in, copied, tmp_path):
    first = report.as_json(looked("ribfrac", stand_in("ribfrac").parent, cache=tmp_path))
    assert first == report.as_json(looked("ribfrac", copied("ribfrac"), cache=tmp_path))


def test_the_sample_goes_by_seed_and_names_alone(tmp_path):
    (tmp_path / "busi").mkdir()
    packed(tmp_path / "busi" / "x.tar.gz", 1000)

    def names(seed: int) -> list[str]:
        with Raw(tmp_path / "busi") as raw:
            return [name for name, _, _ in survey.survey("busi", "busi", raw, seed, lambda line: None).seen]

    assert names(1) == names(1)
    assert names(1) != names(2)
    assert len(set(names(1))) == survey.OPENED


def test_what_is_whole_beside_a_broken_archive_is_counted(tmp_path):
    (tmp_path / "busi").mkdir()
    packed(tmp_path / "busi" / "a.zip", 50)
    packed(tmp_path / "busi" / "b.tar.gz", 50)
    (tmp_path / "busi" / "c.zip").write_bytes(b"PK but no archive")
    whole = (tmp_path / "busi" / "b.tar.gz").read_bytes()
    (tmp_path / "busi" / "b.tar.gz").write_bytes(whole[: len(whole) - 40])
    found = looked("busi", tmp_path, drawn=False)
    assert found.state == "broken"
    assert [bool(one.error) for one in found.archives] == [False, True, True]
    assert found.archives[0].members == 50
    assert found.datasets[0].builds == "no"
    with Raw(tmp_path / "busi") as raw, pytest.raises(PreprocessError, match=r"b\.tar\.gz: damaged"):
        raw.files()  # a build goes on refusing it


def test_every_frame_of_a_picture_is_decoded(tmp_path):
    frames = [Image.fromarray(np.random.default_rng(n).integers(0, 256, (32, 32), np.uint8)) for n in range(7)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "TIFF", save_all=True, append_images=frames[1:])
    whole = Picture(buffer.getvalue())
    whole.decode_all()
    assert whole.traits() == {
        "format": "TIFF", "mode": "L", "bits a channel": "8", "width": "32", "height": "32", "frames": "7",
        "orientation": "1",
    }  # fmt: skip
    with pytest.raises(PreprocessError):
        Picture(buffer.getvalue()[:-600]).decode_all()


def test_words_of_a_header_that_are_none_of_the_standard_are_not_told(tmp_path):
    plant_dicom(tmp_path / "x")
    with Raw(tmp_path / "x") as raw:
        found = dicom.traits(raw, "Mustermann_Erika_4711.dcm")
        with pytest.raises(PreprocessError):
            dicom.traits(raw, "nothere.dcm")
    assert found == {
        "transfer syntax": "Explicit VR Little Endian", "modality": "other", "photometric": "MONOCHROME2",
        "bits": "12 of 16, unsigned", "rows": "4", "columns": "4", "pixel spacing": "0.7/0.7", "slice thickness": "2.5",
        "orientation": "1/0/0/0/1/0", "rescale slope": "1", "rescale intercept": "-1024",
    }  # fmt: skip


def test_progress_is_told(tmp_path):
    (tmp_path / "busi").mkdir()
    packed(tmp_path / "busi" / "x.tar.gz", 300)
    said: list[str] = []
    look(Wish("busi", tmp_path, "paper", {}, (28,), (28,), 42, False, tmp_path / "cache"), said.append, every=0.0)
    assert said[0] == "busi: reading x.tar.gz"
    assert "busi: 300 files in tar archives so far" in said
    assert "busi: 200 files opened so far" in said
    assert said[-1].endswith("counting the samples of breastmnist") or any("counting" in line for line in said)


# ---- nothing private

#: what must not be found, in any case
SECRETS = (
    "mustermann", "erika", "4711", "mrn0815", "1961", "0412", "20230517", "2023-05-17", "1.2.840.99999", "klinik",
    "geheim", "doe", "smith",
)  # fmt: skip


def plant_dicom(folder: Path) -> None:
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.PatientName, data.PatientID, data.PatientBirthDate = "Mustermann^Erika", "MRN0815", "19610412"
    data.StudyDate, data.InstitutionName, data.AccessionNumber = "20230517", "Klinik Geheim", "4711"
    data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.840.99999.1", "1.2.840.99999.2"
    data.SOPInstanceUID, data.SOPClassUID = "1.2.840.99999.3", "1.2.840.10008.5.1.4.1.1.2"
    data.Modality, data.PhotometricInterpretation, data.SamplesPerPixel = "MUSTERMANN", "MONOCHROME2", 1
    data.Rows = data.Columns = 4
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.PixelSpacing, data.SliceThickness, data.RescaleSlope, data.RescaleIntercept = [0.7, 0.7], 2.5, 1, -1024
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    data.PixelData = np.zeros((4, 4), np.uint16).tobytes()
    folder.mkdir(parents=True)
    data.save_as(folder / "Mustermann_Erika_4711.dcm", enforce_file_format=True)
    (folder / "Doe 20230517.dcm").write_bytes(b"Mustermann")


def plant_nifti(folder: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.diag([0.7, 0.7, 2.5, 1]))
    image.header["descrip"], image.header["aux_file"], image.header["db_name"] = (
        b"Mustermann 20230517",
        b"MRN0815",
        b"4711",
    )
    image.header["intent_name"] = b"Erika"
    folder.mkdir(parents=True)
    nibabel.save(image, folder / "Mustermann-1961-04-12.nii.gz")
    (folder / "RibFrac4711-image.nii.gz").write_bytes(b"Mustermann Erika 1961")


def plant_table(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "Erika Mustermann.csv").write_text("Mustermann,4711,2023-05-17\nErika,MRN0815,1961\n")
    (folder / "HAM10000_metadata.csv").write_text(
        "lesion_id,image_id,dx,age,Mustermann\nHAM_4711,ISIC_0412,Mustermann,1961,Erika\n"
    )
    (folder / "broken.csv").write_text('a,b\n"Mustermann\n')


PLANTED = {"lidc_idri": plant_dicom, "ribfrac": plant_nifti, "ham10000": plant_table}


@pytest.mark.parametrize("source", PLANTED)
@pytest.mark.parametrize("form", ["folder", "zip", "tar.gz"])
def test_names_ids_and_dates_do_not_reach_the_report(source, form, tmp_path):
    root = tmp_path / "Klinik Geheim" / "Mustermann"
    inside = root / source / "Erika Mustermann 1961" / "2023-05-17" / "1.2.840.99999"
    PLANTED[source](inside)
    if form != "folder":
        packed_as = {"zip": "zip", "tar.gz": "gztar"}[form]
        shutil.make_archive(str(root / source / "Mustermann 4711"), packed_as, root / source, "Erika Mustermann 1961")
        shutil.rmtree(root / source / "Erika Mustermann 1961")
    found = looked(source, root, drawn=False, cache=tmp_path / "cache")
    assert found.files >= 2
    assert found.headers or found.unreadable
    check_is_shareable(found, root)


def plant_in_dicoms(root: Path) -> None:
    """In every header of the stand-in's folders."""
    for path in (root / "lidc_idri").rglob("*"):
        if path.is_file() and path.read_bytes()[128:132] == b"DICM":
            data = pydicom.dcmread(path)
            data.PatientName, data.PatientID, data.PatientBirthDate = "Mustermann^Erika", "MRN0815", "19610412"
            data.StudyDate, data.InstitutionName, data.AccessionNumber = "20230517", "Klinik Geheim", "4711"
            data.save_as(path)


def plant_in_niftis(root: Path) -> None:
    """In descrip, aux_file and db_name of every scan and label, at the places of the standard."""
    for path in (root / "ribfrac").rglob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                if name.endswith(".nii.gz"):
                    volume = bytearray(gzip.decompress(data))
                    for place, text in (
                        (14, b"4711"),
                        (148, b"Mustermann Erika 20230517"),
                        (228, b"MRN0815 1961-04-12"),
                    ):
                        volume[place : place + len(text)] = text
                    data = gzip.compress(bytes(volume))
                archive.writestr(name, data)


def plant_in_tables(root: Path) -> None:
    """In columns of the table that the reader does not ask for."""
    for path in (root / "ham10000").rglob("*.csv"):
        head, *rows = path.read_text().splitlines()
        rows = [f"{row},Erika Mustermann,MRN0815,1961-04-12" for row in rows]
        path.write_text("\n".join([f"{head},Mustermann,patient 4711,2023-05-17", *rows]) + "\n")


@pytest.mark.parametrize(
    ("source", "plant"), [("lidc_idri", plant_in_dicoms), ("ribfrac", plant_in_niftis), ("ham10000", plant_in_tables)]
)
def test_what_stand_ins_hold_of_persons_does_not_reach_the_report(source, plant, copied):
    root = copied(source)
    before = looked(source, root)
    plant(root)
    found = looked(source, root)
    assert found.state == before.state == "complete"
    assert found.bytes_stored != before.bytes_stored  # it was planted
    check_is_shareable(found, root)


def check_is_shareable(found: Report, root: Path) -> None:
    data = report.as_json(found)
    for text in (json.dumps(data), report.page(data), "\n".join(report.screen(data))):
        bare = re.sub(r'"bytes_\w+": \d+|"size": \d+|"bytes": \d+', "", text).lower()
        bare = re.sub(r"[\d,.]+ (?:k?b|mb|gb)\b", "", bare)
        bare = re.sub(r"\| [\d,]+ \| [\d,]+ \|", "", bare)
        for secret in SECRETS:
            assert not re.search(rf"(?<![a-z]){re.escape(secret)}(?![a-z])", bare), secret
        assert str(root) not in text
        assert "/home" not in text
        assert str(Path.cwd()) not in text


def test_an_unexpected_error_is_a_masked_traceback(tmp_path, monkeypatch):
    plant_table(tmp_path / "Mustermann" / "ham10000")
    module = __import__("preprocess.sources.ham10000", fromlist=["index"])

    def fails(raw: Raw) -> None:
        raise RuntimeError(f"{raw.root}/Erika Mustermann 4711.jpg of 1961-04-12 is odd")

    monkeypatch.setattr(module, "index", fails)
    found = looked("ham10000", tmp_path / "Mustermann", drawn=False, cache=tmp_path / "cache")
    assert found.traceback
    assert any(line.startswith("preprocess/inspection/look.py, line ") for line in found.traceback)
    assert found.traceback[-1].startswith("RuntimeError: <raw>/ham10000/")
    assert "unexpected error: RuntimeError" in found.datasets[0].why
    check_is_shareable(found, tmp_path)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Dataset_BUSI_with_GT/benign/benign (1).png", "Dataset_BUSI_with_GT/benign/benign (#).png"),
        ("images/00000001_000.png", "images/#.png"),
        ("Mustermann_Erika/19610412/IM-0115-0001.jpeg", "*/#/IM-#.jpeg"),
        ("LIDC-IDRI/LIDC-IDRI-0078/1.3.6.1.4.1/000001.dcm", "LIDC-IDRI/LIDC-IDRI-#/#/#.dcm"),
        ("a3f9c2b1.dcm", "*.dcm"),
        ("Müller.nii.gz!/Doe^Jane.nii", "*.nii.gz!/*.nii"),
        ("NCT-CRC-HE-100K.zip!/ADI/x", "NCT-CRC-HE-100K.zip!/ADI/x"),
    ],
)
def test_names_are_masked(text, masked):
    assert masking.path(text) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("/data/raw/busi: damaged or incomplete (Error -3 while decompressing data: invalid distance too far back)",
         "<raw>/busi: damaged or incomplete (Error -# while decompressing data: invalid distance too far back)"),
        ("patient 0078 of 1961-04-12 in /home/erika/x y", "patient # of # in <path> y"),
        ("has 16 bits a channel; 1,349 files, MRN0815", "has 16 bits a channel; 1,349 files, *"),
    ],
)  # fmt: skip
def test_messages_are_masked(text, masked):
    assert masking.message(text, Path("/data/raw")) == masked


def test_the_vocabulary_holds_no_name_of_a_person():
    """Those the project itself names in citations and docstrings: they stand for any other."""
    cited = {
        "dhabyani",
        "kermany's",
        "tschandl",
        "rosendahl",
        "kittler",
        "acevedo",
        "woloshuk",
        "ljosa",
        "armato",
        "xia",
    }
    assert cited.isdisjoint(masking.vocabulary())
    assert cited.isdisjoint(masking._phrases())


# ---- what is expected


def test_the_table_of_expected_figures_is_sound():
    assert sorted(expected.sources()) == SOURCES
    for source in SOURCES:
        about = registry.load()[source]
        figures = expected.figures(source)
        assert {one.grade for one in figures} <= set(EVIDENCE)
        assert all(one.why and one.figure for one in figures)
        assert [one.what for one in figures if one.what.startswith("counts for")] == [
            f"counts for {name}" for name in about.datasets
        ]
        for header in expected.headers(source):
            assert header.kind in ("picture", "volume", "series", "mesh", "store", "arrays")
            assert bool(header.values) != bool(header.range)


def test_a_header_unlike_the_true_ones_is_unusual(tmp_path):
    (tmp_path / "chestxray14" / "images").mkdir(parents=True)
    for number, (mode, edge) in enumerate([("L", 1024), ("RGBA", 1024), ("P", 512)]):
        Image.new(mode, (edge, edge)).save(tmp_path / "chestxray14" / "images" / f"0000000{number + 1}_000.png")
    told = report.unusual(report.as_json(looked("chestxray14", tmp_path, drawn=False)))
    assert "mode (picture): P in 1; expected L or RGBA (read)" in told
    assert "width (picture): 512 in 1; expected 1024 (read)" in told


def test_turned_pictures_and_contradicting_headers_are_unusual(tmp_path):
    (tmp_path / "ham10000").mkdir()
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (600, 450)).save(tmp_path / "ham10000" / "ISIC_0024306.jpg", exif=exif)
    found = report.unusual(report.as_json(looked("ham10000", tmp_path, drawn=False)))
    assert "1 pictures name an orientation, which is not applied" in found
    image = nibabel.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.diag([0.7, 0.7, 2.5, 1]))
    image.header["pixdim"][3] = 5
    (tmp_path / "ribfrac").mkdir()
    data = bytearray(image.to_bytes())
    data[76 + 12 : 76 + 16] = np.float32(5).tobytes()  # pixdim[3], which saving would put right
    (tmp_path / "ribfrac" / "RibFrac1-image.nii").write_bytes(bytes(data))
    found = report.unusual(report.as_json(looked("ribfrac", tmp_path, drawn=False)))
    assert "1 volumes have headers that contradict themselves" in found


# ---- true files


@pytest.mark.real
@pytest.mark.parametrize(
    ("source", "state", "unusual"),
    [("busi", "incomplete", []), ("pbc", "incomplete", []), ("kermany", "incomplete", []),
     ("chestxray14", "incomplete", []), ("intra", "incomplete", []), ("adrenal", "complete", [])],
)  # fmt: skip
def test_true_files_are_as_expected(real, source, state, unusual, tmp_path):
    """Parts of true archives: incomplete, every file readable, and nothing in their headers unlike true files."""
    found = looked(source, real, drawn=False, cache=tmp_path)
    assert (found.state, found.unreadable, found.traceback) == (state, (), ())
    told = report.unusual(report.as_json(found))
    assert [line for line in told if "expected" in line] == unusual
    assert found.opened == sum(found.kinds[kind] for kind in ("picture", "mesh", "arrays") if kind in found.kinds)


@pytest.mark.real
def test_true_segmentations_and_tables(real, tmp_path):
    shutil.copytree(real / "lits", tmp_path / "lits")
    shutil.copytree(real / "lits_segmentations", tmp_path / "lits" / "masks")
    shutil.copytree(real / "ribfrac_tables", tmp_path / "ribfrac")
    lits = looked("lits", tmp_path, drawn=False)
    assert lits.state == "incomplete"
    axes = next(one.values for one in lits.headers if one.trait == "axes")
    assert axes == {"LPS": 4, "LAS": 3, "RAS": 2, "not told": 2}  # sources: ../facts, lits-orientation
    fracs = looked("ribfrac", tmp_path, drawn=False)
    assert fracs.state == "incomplete"
    rows = next(one for one in fracs.headers if one.trait == "rows")
    assert sum(int(value) * count for value, count in rows.values.items()) == 3987 + 420 + 435 + 80


# ---- the plan


def planned(tmp_path: Path, **config) -> Plan:
    (tmp_path / "raw").mkdir(exist_ok=True)
    config = {"raw": str(tmp_path / "raw"), "results": str(tmp_path / "results"), **config}
    return Plan(config, ROOT / "workflow" / "schemas" / "config.schema.json", lambda: ["inspect"])


def test_sources_are_named_by_their_own_name_or_by_a_dataset(tmp_path):
    for source in ("busi", "lits"):
        (tmp_path / "raw" / source).mkdir(parents=True)
        (tmp_path / "raw" / source / "x.txt").write_text("x")
    (tmp_path / "raw" / "pbc").mkdir()  # empty
    assert planned(tmp_path).inspected == ["busi", "lits"]
    assert planned(tmp_path, sources=["organcmnist", "lits", "breastmnist"]).inspected == ["lits", "busi"]
    assert [Path(path).name for path in planned(tmp_path, sources=["lits"]).reports()] == ["lits.json"]
    with pytest.raises(PreprocessError, match="no source and no dataset is called 'busy'"):
        planned(tmp_path, sources=["busy"]).reports()
    with pytest.raises(PreprocessError, match="pbc holds no file"):
        planned(tmp_path, sources=["bloodmnist"]).reports()
    shutil.rmtree(tmp_path / "raw")
    with pytest.raises(PreprocessError, match="holds no folder of a source"):
        planned(tmp_path).reports()


def test_a_report_is_as_current_as_its_raw_files(tmp_path):
    (tmp_path / "raw" / "busi").mkdir(parents=True)
    (tmp_path / "raw" / "busi" / "benign (1).png").write_bytes(b"x")
    before = planned(tmp_path).current_of_look("busi")
    assert planned(tmp_path).current_of_look("busi") == before
    assert planned(tmp_path, sizes=[28, 64]).current_of_look("busi") != before
    (tmp_path / "raw" / "busi" / "benign (2).png").write_bytes(b"x")
    assert planned(tmp_path).current_of_look("busi") != before


def test_a_look_asks_for_no_room(tmp_path, monkeypatch):
    """It builds nothing, so a full disk is no reason to refuse it."""
    monkeypatch.setattr(environment, "hold", lambda folder: None)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 0))
    assert planned(tmp_path).begin(2) == []


# ---- the commands


@pytest.mark.workflow
@pytest.mark.timeout(300)
def test_the_workflow_shows_a_screen_a_source_every_time(folder):
    words = ("inspect", "--config", "sources=[breastmnist]")
    said = snakemake(folder, *words)
    assert "busi: reading Dataset_BUSI.zip" in said
    assert "busi, a stand-in: COMPLETE: all known counts" in said
    base = folder / "results" / "miniature"
    made = {path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_file()}
    aside = ("raw/", ".lock", ".run", "paper/logs/", "paper/benchmarks/")
    assert {name for name in made if not name.startswith(aside)} == {"inspect/busi.json", "inspect/busi.md"}
    said = snakemake(folder, *words)
    assert "busi: reading" not in said  # nothing has changed
    assert "busi, a stand-in: COMPLETE: all known counts" in said


def test_the_command_writes_its_report_and_nothing_else(stand_in, tmp_path, capsys):
    root = stand_in("busi").parent
    words = ["--raw", root, "--cache", tmp_path / "cache", "--protocol", "released", "--overrides", "{}", "--sizes", 28,
             "--sizes-3d", 28, "--seed", 42, "--miniature"]  # fmt: skip
    out = tmp_path / "out"
    run("inspect", "busi", *words, "--output", out / "busi.md", "--json", out / "busi.json")
    assert sorted(path.name for path in out.iterdir()) == ["busi.json", "busi.md"]
    assert not (tmp_path / "cache").exists()
    data = json.loads((out / "busi.json").read_text())
    assert (out / "busi.md").read_text() == report.page(data)
    assert any("order: no order table" in line for one in data["datasets"] for line in one["falls_back"])
    capsys.readouterr()
    run("inspected", out / "busi.json", "--results", tmp_path)
    said = capsys.readouterr().out
    assert said.startswith("busi, a stand-in: COMPLETE")
    assert f"to share: {out / 'busi.md'}" in said
    assert len(said.split("\n\n")[0].splitlines()) <= 24  # one screen
