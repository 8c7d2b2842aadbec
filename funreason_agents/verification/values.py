"""How values are compared, and how they are found in text."""

from __future__ import annotations

import math
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Any

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u2e80-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff"  # Chinese and Japanese, with the line before
)
"""The characters, as in a character class, of scripts that put no space between words."""
_HANGUL = "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"


def _begins(inside: str) -> str:
    """Return a pattern for where a word begins: after none of the characters of a word."""
    return rf"(?<!(?![{_UNSPACED}])[{inside}])"


def _ends(inside: str) -> str:
    """Return a pattern for where a word ends; Korean puts its particles right after a word."""
    return rf"(?!(?![{_UNSPACED}{_HANGUL}])[{inside}])"


_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORD_NUMBERS = {word: number for number, word in enumerate(_UNITS.split())} | {
    word: 10 * number for number, word in enumerate(_TENS.split(), start=2)
}
NUMBER_WORD = re.compile(
    rf"\b(?:(?:{_TENS.replace(' ', '|')})[- ](?:{'|'.join(_UNITS.split()[1:10])})"
    rf"|{_TENS.replace(' ', '|')}|{_UNITS.replace(' ', '|')})\b",
    re.IGNORECASE,
)
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?"
_NOT_CODE = r"(?![A-Za-z_]*\d)"  # the 4 of an id such as 4F7K2 is no number
_NUMBER = re.compile(_begins(r"\w.") + rf"[-+]?{_DIGITS}{_NOT_CODE}")
_PLAIN_NUMBER = re.compile(_begins(r"\w.:/-") + rf"[-+]?{_DIGITS}{_NOT_CODE}(?![-:/]\d)")
_COMMA_NUMBER = re.compile(
    _begins(r"\w.,") + r"[-+]?(?:\d{1,3}(?:\.\d{3})+|\d+),\d{1,2}(?!\.\d)" + _ends(r"\w,")
)

_MONTHS = re.findall(
    r"\w+", "january february march april may june july august september october november december"
)
_MONTH = (
    r"(january|february|march|april|may|june|july|august|september|october|november|december"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\b\.?"
)
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_ISO = _begins(r"\w-") + r"(\d{4})-(\d{2})-(\d{2})(?![\da-su-z_]|-\w)"
_NUMERIC = _begins(r"\w./-") + r"(\d{1,2})(?P<mark>[/.])(\d{1,2})(?P=mark)(\d{4})" + _ends(r"\w/-")
DATE = re.compile(
    rf"{_ISO}|{_NUMERIC}|\b{_MONTH}\s+(?:the\s+)?{_DAY}\b(?!:|\.\d)(?:,?\s+(\d{{4}})\b)?"
    rf"|(?<![\w.:/-]){_DAY}\s+(?:of\s+)?{_MONTH}(?:,?\s+(\d{{4}})\b)?",
    re.IGNORECASE,
)

Day = tuple[int | None, int, int]
"""Year (None where it is not said), month and day."""

_SAME_CHARACTER = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
        **dict.fromkeys("\u2018\u2019\u02bc", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"'),
    }
)
_GROUP_SPACE = re.compile("(?<=\\d)[\u00a0\u2009\u202f'](?=\\d{3}(?!\\d))")


def is_number(value: Any) -> bool:
    """Return whether `value` is a JSON number; a bool is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def same_value(left: Any, right: Any) -> bool:
    """Compare two JSON values after normalisation.

    Strings are compared without case and outer or repeated white space, lists in order, objects by
    key. Whole numbers must be equal, since they may be ids or times; where one has a fraction,
    there is a relative tolerance of 1e-9, but never more than 1e-4.
    """
    if is_number(left) and is_number(right):
        return _same_number(left, right)
    if isinstance(left, str) and isinstance(right, str):
        return left == right or fold(left) == fold(right)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same_value, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_value(left[k], right[k]) for k in left)
    return type(left) is type(right) and bool(left == right)


def _same_number(left: float, right: float) -> bool:
    if left == right:
        return True
    if isinstance(left, int) and isinstance(right, int):
        return False
    try:
        # A number in text is read as a float, which above 2**53 stands for several whole ones.
        left, right = float(left), float(right)
    except OverflowError:
        return False
    if left.is_integer() and right.is_integer():
        return left == right
    slack = max(1e-9 * max(abs(left), abs(right)), 1e-12)
    return abs(left - right) <= min(slack, 1e-4)


def to_plain(text: str) -> str:
    """Write typographic dashes, quotes and digit groups as a keyboard would."""
    if text.isascii() and "'" not in text:
        return text
    text = _GROUP_SPACE.sub(",", text)
    return unicodedata.normalize("NFC", text).translate(_SAME_CHARACTER)


@lru_cache(maxsize=8192)
def fold(text: str) -> str:
    """Return `text` in lower case with single spaces, plain dashes and plain quotes."""
    return " ".join(to_plain(text).casefold().split())


def numbers_in(text: str, *, plain: bool = False) -> list[float]:
    """Return the numbers that `text` writes: in digits (`1,250.5`, `45,50`, `12%`) or as words.

    Args:
        text: Any text.
        plain: Leave out the parts of codes, dates and times.
    """
    return list(_numbers_in(text, plain))


@lru_cache(maxsize=8192)
def _numbers_in(text: str, plain: bool) -> tuple[float, ...]:
    text = to_plain(text)
    pattern = _PLAIN_NUMBER if plain else _NUMBER
    found = [float(part.replace(",", "")) for part in pattern.findall(text)]
    found += [
        float(part.replace(".", "").replace(",", ".")) for part in _COMMA_NUMBER.findall(text)
    ]
    found += [word_number(match.group()) for match in NUMBER_WORD.finditer(text)]
    return tuple(number for number in found if math.isfinite(number))


def word_number(word: str) -> float:
    """Return the number that a match of `NUMBER_WORD` writes."""
    return float(sum(_WORD_NUMBERS[part] for part in re.split(r"[- ]", word.lower())))


def text_holds(text: str, value: Any) -> bool:
    """Return whether `text` states `value` as a whole word or number, not as a part of one."""
    if is_number(value):
        return any(same_value(number, value) for number in numbers_in(text))
    if isinstance(value, bool) or value is None:
        return False
    return folded_holds(fold(text), fold(str(value)))


def folded_holds(text: str, needle: str, inside: str = r"\w") -> bool:
    """Return whether the folded `text` has the folded `needle` as a whole word.

    Next to a script that is written without spaces a word may begin and end anywhere.

    Args:
        text: Where to look.
        needle: What to look for.
        inside: The characters of a word, as in a character class.
    """
    if not needle or needle not in text:
        return False
    left = _begins(inside) if _is_bordered(needle[0]) else ""
    right = _ends(inside) if _is_bordered(needle[-1]) else ""
    return re.search(left + re.escape(needle) + right, text) is not None


def _is_bordered(character: str) -> bool:
    return character.isalnum() and re.match(rf"[{_UNSPACED}]", character) is None


def holds_number(ordered: Sequence[float], value: float) -> bool:
    """Return whether the ascending `ordered` has a number that is the same value."""
    place = bisect_left(ordered, value)
    return any(_same_number(each, value) for each in ordered[max(0, place - 1) : place + 1])


def dates_in(text: str) -> list[Day]:
    """Return the dates that `text` writes; of `3/4/2031` both readings."""
    return [day for match in DATE.finditer(to_plain(text)) for day in days_of(match)]


def days_of(match: re.Match[str]) -> list[Day]:
    """Return the readings of one match of `DATE`."""
    year, month, day, one, _, two, then, name, number, later, first, called, last = match.groups()
    if year:
        return _valid((int(year), int(month), int(day)))
    if one:
        orders = dict.fromkeys(((int(one), int(two)), (int(two), int(one))))
        return [each for m, d in orders for each in _valid((int(then), m, d))]
    word, said, stated = (name, number, later) if name else (called, first, last)
    place = next(n for n, each in enumerate(_MONTHS, 1) if each.startswith(word.lower()[:3]))
    return _valid((int(stated) if stated else None, place, int(said)))


def same_day(left: Day, right: Day) -> bool:
    """Return whether two dates agree; a year that is not said agrees with any."""
    return left[1:] == right[1:] and (left[0] is None or right[0] is None or left[0] == right[0])


def _valid(day: Day) -> list[Day]:
    try:
        date(day[0] or 2000, day[1], day[2])
    except ValueError:
        return []
    return [day]


def is_trivial(value: Any) -> bool:
    """Return whether finding `value` somewhere says nothing: 0, 1, true, false, null, empty."""
    return value is None or isinstance(value, bool) or value in (0, 1, "", "0", "1")


def is_distinctive(value: Any) -> bool:
    """Return whether `value` is rare enough that its presence in a text means something."""
    if is_number(value):
        return abs(value) >= 100 or (isinstance(value, float) and not value.is_integer())
    return isinstance(value, str) and len(value) >= 4 and (len(value) >= 8 or not value.isalpha())
