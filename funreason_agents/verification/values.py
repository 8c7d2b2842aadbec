"""How values are compared, and how they are found in text."""

from __future__ import annotations

import math
import re
from datetime import date
from typing import Any

_WORD_NUMBERS = dict(
    zip(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
        ],
        range(13),
        strict=True,
    )
)
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w])")
_ISO_DATE = re.compile(r"^(\d{4})-(\d{2})-(\d{2})$")
_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]


def is_number(value: Any) -> bool:
    """Return whether `value` is a JSON number; a bool is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def same_value(left: Any, right: Any) -> bool:
    """Compare two JSON values after normalisation.

    Strings are compared without case and outer or repeated white space, numbers with a relative
    tolerance of 1e-9, lists in order, objects by key.
    """
    if is_number(left) and is_number(right):
        return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(left, str) and isinstance(right, str):
        return fold(left) == fold(right)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same_value, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_value(left[k], right[k]) for k in left)
    return type(left) is type(right) and bool(left == right)


def fold(text: str) -> str:
    """Return `text` in lower case with single spaces."""
    return " ".join(text.casefold().split())


def numbers_in(text: str) -> list[float]:
    """Return the numbers that `text` writes, in digits (`1,250.5`, `12%`) or as words to twelve."""
    found = [float(part.replace(",", "")) for part in _NUMBER.findall(text) if part.strip(",")]
    words = re.findall(r"[a-z]+", text.lower())
    return found + [float(_WORD_NUMBERS[word]) for word in words if word in _WORD_NUMBERS]


def text_holds(text: str, value: Any) -> bool:
    """Return whether `text` states `value` as a whole word or number, not as a part of one."""
    if is_number(value):
        return any(same_value(number, value) for number in numbers_in(text))
    if isinstance(value, bool) or value is None:
        return False
    needle = fold(str(value))
    if not needle:
        return False
    left = r"(?<!\w)" if needle[0].isalnum() else ""
    right = r"(?!\w)" if needle[-1].isalnum() else ""
    return re.search(left + re.escape(needle) + right, fold(text)) is not None


def date_forms(value: Any) -> list[str]:
    """Return the usual ways of writing an ISO date; nothing for other values."""
    match = _ISO_DATE.match(value) if isinstance(value, str) else None
    if match is None:
        return []
    year, month, day = (int(part) for part in match.groups())
    try:
        date(year, month, day)
    except ValueError:
        return []
    names = [_MONTHS[month - 1], _MONTHS[month - 1][:3]]
    forms = [f"{month}/{day}/{year}", f"{month:02}/{day:02}/{year}", f"{day}.{month}.{year}"]
    for name in names:
        forms += [f"{name} {day}, {year}", f"{name} {day} {year}", f"{day} {name} {year}"]
    return forms


def is_trivial(value: Any) -> bool:
    """Return whether finding `value` somewhere says nothing: 0, 1, true, false, null, empty."""
    return value is None or isinstance(value, bool) or value in (0, 1, "", "0", "1")


def is_distinctive(value: Any) -> bool:
    """Return whether `value` is rare enough that its presence in a text means something."""
    if is_number(value):
        return abs(value) >= 100 or (isinstance(value, float) and not value.is_integer())
    return isinstance(value, str) and len(value) >= 4 and (len(value) >= 8 or not value.isalpha())
