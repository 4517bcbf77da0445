"""The steps: functions of arrays that a recipe chains by name.

A step takes what the step before it returned as its first argument. Its keyword parameters are
named after what they receive: a decision of the recipe (``kernel``), a column of the sample's row
(``box``), or ``size``, the edge of the output grid. That is the whole wiring; a new step is one
function and one line below.

What holds for every step: the same arguments give the same result, no argument is changed, and no step remembers
anything of its own from one call to the next. Most are pure functions of arrays. Not quite so are

- the step that cuts a CT (``cut``, ``cut_cube``, ``isotropic``): it takes a volume or series that lies in files, and
  reads from them the voxels it needs, so it may find a file unreadable. What it works out of a whole volume is kept
  in :attr:`preprocess.reading.volume.Volume.memory`, and goes with the volume;
- JPEG by a named version of libjpeg, which goes through a temporary file (:mod:`preprocess.steps.ijg`);
- steps that have something to say of a sample that is built all the same (:mod:`preprocess.notices`).
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

STEPS = {
    "intensity": "stacks:intensity",
    "project": "stacks:project",
    "decode": "images:decode",
    "values": "depth:values",
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
    "region": "regions:region",
    "cut": "boxes:cut",
    "cut_cube": "boxes:cut_cube",
    "grid": "boxes:grid",
    "window": "boxes:window",
    "plane": "boxes:plane",
    "refuse_blank": "boxes:refuse_blank",
    "surroundings": "nodules:surroundings",
    "isotropic": "nodules:isotropic",
}


def get(name: str) -> Callable[..., Any]:
    """Import the function of a step. KeyError for an unknown name."""
    module, _, function = STEPS[name].partition(":")
    step: Callable[..., Any] = getattr(importlib.import_module(f"preprocess.steps.{module}"), function)
    return step


@cache
def parameters(name: str) -> tuple[str, ...]:
    """What a step asks for besides its first argument, read from its source: importing may take a second."""
    module, _, function = STEPS[name].partition(":")
    tree = ast.parse((Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8"))
    found = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    return tuple(argument.arg for argument in found.args.args[1:])


def module_of(name: str) -> str:
    """The full name of the module a step lives in."""
    return f"preprocess.steps.{STEPS[name].partition(':')[0]}"
