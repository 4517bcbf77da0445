"""The columns that mean the same in every dataset: age, sex, laterality and view, and the source's own text of them.

Each function turns a source's text into the common value. What is not one of the forms named here has no common
value: the result is empty, and the text stands in the source's own column, ``source_age`` and the like.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from preprocess.table import COMMON

#: days of a unit of age, by the letter of DICOM's Age String (PS3.5, value representation AS)
DAYS = {"D": 1.0, "W": 7.0, "M": 365.25 / 12, "Y": 365.25}
#: years; a greater number is a slip of the pen (ChestX-ray14 has an age of 414)
OLDEST = 125
_AGE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?(?:([YMWD])|(YEAR|MONTH|WEEK|DAY)S?)?", re.ASCII)

_SEXES: dict[str, tuple[str, ...]] = {"F": ("f", "female"), "M": ("m", "male")}
_SIDES: dict[str, tuple[str, ...]] = {
    "L": ("l", "left", "os"),
    "R": ("r", "right", "od"),
    "B": ("b", "both", "bilateral", "ou"),
}
#: DICOM's View Positions (0018,5101) of radiographs and of mammograms, and the three planes of a volume
VIEWS = ("AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO", "CC", "MLO", "ML", "LM", "LMO")
PLANES = ("axial", "coronal", "sagittal")
_VIEWS: dict[str, tuple[str, ...]] = {name: (name.lower(),) for name in (*VIEWS, *PLANES)}


def columns(
    age: str | None = None, sex: str | None = None, laterality: str | None = None, view: str | None = None
) -> dict[str, str]:
    """The common columns of one sample, and the source's own text of each, as its attributes.

    Args:
        age, sex, laterality, view: the source's text, as its table has it; empty where it says nothing of this
            sample, None where it says nothing of any.

    Returns:
        For each text that is not None the common value under the column's name (see the function of that name) and
        the text itself, trimmed, under ``source_<column>``. A source adds it to
        :attr:`preprocess.table.Sample.attributes`.
    """
    texts = {"age": age, "sex": sex, "laterality": laterality, "view": view}
    given = {name: text.strip() for name, text in texts.items() if text is not None}
    found = {name: FUNCTIONS[name](text) for name, text in given.items()}
    return found | {f"source_{name}": text for name, text in given.items()}


def age(text: str) -> str:
    """An age in years, to three digits.

    A bare number is years (``57``, ``80.0``). A unit may follow: DICOM's letters (``058Y``, ``006M`` is 0.5, ``002W``,
    ``012D`` is 0.0329) or the English word (``3 months``). Above 125 years it is none.
    """
    match = _AGE.fullmatch(text.strip().upper())
    if match is None:
        return ""
    years = float(match[1]) * DAYS[(match[2] or match[3] or "Y")[0]] / DAYS["Y"]
    return f"{years:.3g}" if years <= OLDEST else ""


def sex(text: str) -> str:
    """``F`` or ``M``, of a letter or a word in any case; DICOM's ``O``, numbers and the like say neither."""
    return _one_of(text, _SEXES)


def laterality(text: str) -> str:
    """``L`` or ``R``, the side of the body, or ``B``, both: of a letter or a word, of an eye also OS, OD and OU."""
    return _one_of(text, _SIDES)


def view(text: str) -> str:
    """The view: a View Position of DICOM in capitals (:data:`VIEWS`), or the plane of a slice (:data:`PLANES`)."""
    return _one_of(text, _VIEWS)


def _one_of(text: str, forms: dict[str, tuple[str, ...]]) -> str:
    text = text.strip().lower()
    return next((value for value, names in forms.items() if text in names), "")


FUNCTIONS: dict[str, Callable[[str], str]] = dict(zip(COMMON, (age, sex, laterality, view), strict=True))
