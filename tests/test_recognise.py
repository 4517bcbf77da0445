"""Which source and layout an archive holds, told by the names in it whatever its own name is."""

from __future__ import annotations

import zipfile

from preprocess.acquire import inventory, registry


def test_kaggles_archive_is_recognised_by_content(tmp_path):
    known = registry.load()
    cases = {
        "images_001/images/00000001_000.png": "Kaggle nih-chest-xrays/data",
        "OCT2017 /train/CNV/CNV-1-1.jpeg": "cannot give OCTMNIST",
        "chest_xray/train/NORMAL/IM-0115-0001.jpeg": "chest-xray-pneumonia",
        "HAM10000_images_part_1/ISIC_0024306.jpg": "kmader/skin-cancer-mnist-ham10000",
        "Dataset_BUSI_with_GT/benign/benign (1).png": "aryashah2k",
        "NCT-CRC-HE-100K-NONORM/ADI/ADI-AAAFLCLY.tif": "without colour normalisation",
        "Task03_Liver/imagesTr/liver_0.nii.gz": "not accepted",
    }
    for member, words in cases.items():
        path = tmp_path / "archive.zip"
        with zipfile.ZipFile(path, "w") as one:
            one.writestr(f"__MACOSX/{member}", b"")
            one.writestr(member, b"x")
        assert words in inventory.describe(path, known)
    with zipfile.ZipFile(path, "w") as one:
        one.writestr("holiday/beach.jpg", b"x")
    assert "none of the known layouts" in inventory.describe(path, known)
    path.write_bytes(b"PK but no archive")
    assert "damaged" in inventory.describe(path, known)
