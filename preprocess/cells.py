"""Pictures reduced to a few gray cells, by which near duplicates are found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: cells along an edge: as many rows as columns, so that the cells of a turned picture are the turned cells
SIDE = 17


def cells(image: NDArray[np.uint8], dimensions: int) -> NDArray[np.uint8]:
    """A picture (H, W) or (H, W, 3), or a volume's mean along its first axis, as 17 x 17 gray cells.

    The reduction is by area, so that the cells do not depend on the picture's size.
    """
    from PIL import Image  # here: who reads cells needs no Pillow

    if dimensions == 3:
        image = image.mean(axis=0).astype(np.uint8)
    return np.asarray(Image.fromarray(image).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))
