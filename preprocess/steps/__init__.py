"""The steps: pure array functions a recipe chains by name.

A step takes what the step before it returned as its first argument. Its keyword parameters are
named after what they receive: a decision of the recipe (``kernel``), a column of the sample's row
(``box``), or ``size``, the edge of the output grid. That is the whole wiring; a new step is one
function and one line below.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

STEPS = {
    "decode": "images:decode",
    "gray": "images:gray",
    "rgb": "images:rgb",
    "crop": "images:crop",
    "resize": "images:resize",
    "jpeg": "images:jpeg",
    "mesh": "meshes:mesh",
    "repair": "meshes:repair",
    "voxelise": "meshes:voxelise",
    "cells": "meshes:cells",
    "cut_mask": "grids:cut_mask",
    "zoom_mask": "grids:zoom_mask",
    "zoom": "grids:zoom",
}


def get(name: str) -> Callable[..., Any]:
    """Import the function of a step. KeyError for an unknown name."""
    module, _, function = STEPS[name].partition(":")
    step: Callable[..., Any] = getattr(importlib.import_module(f"preprocess.steps.{module}"), function)
    return step


def module_of(name: str) -> str:
    """The full name of the module a step lives in."""
    return f"preprocess.steps.{STEPS[name].partition(':')[0]}"
