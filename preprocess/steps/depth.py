"""Steps for pictures of more than 8 bits, and for DICOM: their numbers as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.reading.dicom import Frame
from preprocess.reading.picture import Picture
from preprocess.steps import images


def values(picture: Picture | Frame) -> NDArray[Any]:
    """The numbers of one image file of any depth, for the step ``intensity``.

    Of a picture those stored: gray of up to 16 bits, or what :func:`preprocess.steps.images.decode` gives of 8 bits a
    channel; of a DICOM file those of :meth:`preprocess.reading.dicom.Frame.values`.

    Returns:
        (H, W), or (H, W, 3) of RGB.

    Raises:
        UnreadableError: damaged, several pictures in one file, or neither gray nor RGB.
    """
    if isinstance(picture, Frame):
        return picture.values()
    return picture.values() if picture.bits > 8 else np.asarray(images.decode(picture, "pillow"))
