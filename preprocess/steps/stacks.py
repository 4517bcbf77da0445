"""Steps for small stacks of slices, (Z, H, W), that become one picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import UnreadableError


def intensity(stack: NDArray[Any], intensity: str) -> NDArray[np.uint8]:
    """Bring a stack of any number type to 8 bits as the decision says; the shape stays.

    ``uint8`` takes 0 to 255 as they are; ``signed`` adds 256 to negative bytes; ``offset-128`` undoes an
    added 128, modulo 256; ``sample-range`` spreads the stack's own minimum and maximum over 0 to 255, rounded.

    Raises:
        UnreadableError: the values are not what the decision says they are.
    """
    low, high = (float(value) for value in (stack.min(), stack.max()))
    if intensity == "sample-range":
        scale = 255 / (high - low) if high > low else 0.0
        return np.asarray(np.rint((stack.astype(np.float64) - low) * scale), np.uint8)
    allowed = (-128, 127) if intensity == "signed" else (0, 255)
    if low < allowed[0] or high > allowed[1] or (stack.dtype.kind == "f" and (stack % 1).any()):
        raise UnreadableError(
            f"has values from {low:g} to {high:g}, which are not the bytes of intensity {intensity!r}"
        )
    if intensity == "signed":
        return np.asarray(stack, np.int8).view(np.uint8)
    values = np.asarray(stack, np.uint8)
    if intensity == "offset-128":
        return values ^ np.uint8(128)
    if intensity == "uint8":
        return values
    raise ValueError(f"intensity: {intensity!r}")


def project(stack: NDArray[np.uint8], project: str) -> NDArray[np.uint8]:
    """Reduce (Z, H, W) to (H, W): ``max``, ``mean`` (rounded, halves to even) or the ``middle`` slice."""
    if project == "max":
        return np.asarray(stack.max(axis=0))
    if project == "mean":
        return np.asarray(np.rint(stack.mean(axis=0)), np.uint8)
    if project == "middle":
        return np.asarray(stack[len(stack) // 2])
    raise ValueError(f"project: {project!r}")
