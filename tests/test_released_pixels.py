"""Published pixels from their originals: each recipe as `released` decides it, and every value it rejects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from preprocess import recipe
from preprocess.decisions import KERNELS
from preprocess.reading.picture import Picture
from preprocess.render import bind
from preprocess.steps import images

#: by Pillow's libjpeg-turbo, and by the family that scales chroma by DCT
PASSES = ("none", "q75", "q75 twice", "q75 3 times", "q75 4 times")
SCALED = ("q75-ijg-7", "q75-ijg-9b", "q75-ijg-9b twice")


class Pairs:
    """The originals of one folder and the tiles that were published of them."""

    def __init__(self, folder: Path, dataset: str) -> None:
        self.folder, self.released = folder, recipe.load(dataset, "released")
        with np.load(folder / "official.npz") as file:
            self.tiles = {name: file[name] for name in file.files}

    def originals(self) -> dict[str, np.ndarray]:
        """Published tiles by the name of the original that is there."""
        named = {name.partition("__")[2]: tile for name, tile in self.tiles.items()}
        return {name: tile for name, tile in named.items() if (self.folder / name).is_file()}

    def made(self, name: str, **changed: str) -> np.ndarray:
        """One original through the steps of the recipe at 28, some decisions changed."""
        used = self.released.changed(changed)
        result: object = Picture((self.folder / name).read_bytes())
        for step in used.steps:
            result = bind(used, step, 28).function(result)
        return result

    def exact(self, **changed: str) -> int:
        return sum(np.array_equal(self.made(name, **changed), tile) for name, tile in self.originals().items())


@pytest.fixture
def pairs(real):
    return lambda folder, dataset: Pairs(real / "released_pixels" / folder, dataset)


def others(values, *kept):
    return [value for value in values if value not in kept]


@pytest.mark.real
def test_retina_is_a_square_saved_twice(pairs):
    retina = pairs("retina", "retinamnist")
    assert len(retina.originals()) == 2
    assert retina.exact() == 2
    assert retina.released.decisions["jpeg"].at(28) == "q75 twice"
    assert [retina.exact(jpeg=jpeg) for jpeg in (*others(PASSES, "q75 twice"), *SCALED)] == [0] * 7
    assert [retina.exact(kernel=kernel) for kernel in others(KERNELS, "bilinear")] == [0] * 5
    # libjpeg-turbo and 6b interpolate chroma alike; the later ones do not
    assert retina.exact(decoder="ijg-6b", jpeg="q75-ijg-6b twice") == 2
    assert [retina.exact(decoder=f"ijg-{one}") for one in ("7", "8d", "9b", "9e", "9f")] == [0] * 5
    assert retina.exact(crop="none") == 0


@pytest.mark.real
def test_derma_is_a_square_whose_page_tiles_are_one_pass_behind(pairs):
    derma = pairs("derma", "dermamnist")
    assert len(derma.originals()) == 5
    assert derma.exact(jpeg="q75") == 5
    assert [derma.exact(jpeg=jpeg) for jpeg in (*others(PASSES, "q75"), *SCALED)] == [0] * 7
    assert [derma.exact(jpeg="q75", kernel=kernel) for kernel in others(KERNELS, "bilinear")] == [0] * 5
    assert derma.exact(jpeg="q75", crop="none") == 0
    assert derma.exact(jpeg="q75-ijg-6b") == 5
    # the originals keep colour at full size, so every libjpeg reads them alike
    assert derma.exact(jpeg="q75", decoder="ijg-9b") == 5
    # the row of the published file is the page's tile after one more pass: two in all, as the recipe says
    page, row = (derma.tiles[f"{where}__ISIC_0029713"] for where in ("site399", "npz_train64"))
    assert not np.array_equal(page, row)
    assert np.array_equal(images.jpeg(page, "q75"), row)
    assert not any(np.array_equal(images.jpeg(page, jpeg), row) for jpeg in (*others(PASSES, "q75"), *SCALED))
    assert derma.released.decisions["jpeg"].at(28) == "q75 twice"


@pytest.mark.real
def test_oct_is_a_square_saved_once(pairs):
    oct_ = pairs("oct", "octmnist")
    assert len(oct_.originals()) == 2
    assert oct_.exact() == 2
    assert [oct_.exact(jpeg=jpeg) for jpeg in others(PASSES, "q75")] == [0] * 4
    assert [oct_.exact(kernel=kernel) for kernel in others(KERNELS, "bilinear")] == [0] * 5
    assert oct_.exact(crop="none") == 0
    # gray JPEG is the same in every libjpeg
    assert oct_.exact(jpeg="q75-ijg-9b") == 2


@pytest.mark.real
def test_path_is_bilinear_without_a_jpeg_step(pairs):
    path = pairs("path", "pathmnist")
    assert len(path.originals()) == 2
    assert path.exact() == 2
    assert [path.exact(jpeg=jpeg) for jpeg in others(PASSES, "none")] == [0] * 4
    assert [path.exact(kernel=kernel) for kernel in others([*KERNELS, "scikit-image"], "bilinear")] == [0] * 6


@pytest.mark.real
def test_chest_is_scikit_image_s_resize(pairs, monkeypatch):
    chest = pairs("chest", "chestmnist")
    (name,) = chest.originals()
    tile = chest.originals()[name]
    equal = {kernel: int((chest.made(name, kernel=kernel) == tile).sum()) for kernel in (*KERNELS, "scikit-image")}
    assert equal.pop("scikit-image") == 784
    assert max(equal.values()) == equal["bilinear"] == 108
    assert chest.exact() == 1
    assert [chest.exact(jpeg=jpeg) for jpeg in others(PASSES, "none")] == [0] * 4
    # by the exact lattice, without the published units in the last place
    monkeypatch.setattr(images, "PUBLISHED_LATTICES", {})
    assert int((chest.made(name) == tile).sum()) == 767
