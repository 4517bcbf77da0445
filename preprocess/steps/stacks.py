"""Steps for numbers of any type that become 8 bits, and for stacks of slices, (Z, H, W), that become one picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import UnreadableError


def intensity(stack: NDArray[Any], intensity: str) -> NDArray[np.uint8]:
    """Bring numbers of any type and shape to 8 bits as the decision says; the shape stays.

    ``uint8`` takes 0 to 255 as they are; ``signed`` adds 256 to negative bytes; ``offset-128`` undoes an
    added 128, modulo 256; ``sample-range`` spreads the sample's own minimum and maximum over 0 to 255, rounded;
    ``sample-percentiles p,q`` those percentiles of it, clipped outside; ``low,high`` spreads these two numbers, clipped
    outside.

    Raises:
        UnreadableError: the values are not what the decision says they are.
    """
    if stack.dtype.kind == "f" and not np.isfinite(stack).all():
        raise UnreadableError("holds values that are not numbers")
    low, high = (float(value) for value in (stack.min(), stack.max()))
    if intensity == "sample-range":
        return _spread(stack, low, high)
    if intensity.startswith("sample-percentiles "):
        ends = [float(one) for one in intensity.partition(" ")[2].split(",")]
        return _spread(stack, *(float(one) for one in np.percentile(stack, ends)))
    if "," in intensity:
        low, high = (float(one) for one in intensity.split(","))
        return _spread(stack, low, high)
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


def _spread(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Numbers from ``low`` to ``high`` as 0 to 255, rounded, those outside clipped; some planes at a time."""
    scale = 255 / (high - low) if high > low else 0.0
    spread = np.empty(values.shape, np.uint8)
    for place, part in enumerate(values):
        spread[place] = np.rint((np.clip(part, low, high).astype(np.float64) - low) * scale)
    return spread


def project(stack: NDArray[np.uint8], project: str) -> NDArray[np.uint8]:
    """Reduce (Z, H, W) to (H, W): ``max``, ``mean`` (rounded, halves to even) or the ``middle`` slice."""
    if project == "max":
        return np.asarray(stack.max(axis=0))
    if project == "mean":
        return np.asarray(np.rint(stack.mean(axis=0)), np.uint8)
    if project == "middle":
        return np.asarray(stack[len(stack) // 2])
    raise ValueError(f"project: {project!r}")
