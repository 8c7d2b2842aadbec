"""The offline model's plain language: labelled values, effects, and how both are read again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from funreason_agents.schemas.words import humanize

_IDENTIFIER = re.compile(r"\b[A-Za-z]+(?:_[A-Za-z0-9]+)+\b|\b[a-z]+(?:[A-Z][a-z0-9]+)+\b")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\s+Returns?:")
_DECODER = json.JSONDecoder()
_PLACES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
_ORDINALS = {**{word: place for place, word in enumerate(_PLACES)}, "last": -1}
_LISTED = re.compile(
    rf"(?i)\bthe ({'|'.join(_ORDINALS)})\s+((?:[\w'-]+\s+){{1,4}}?)(?:that\s+|which\s+)?"
    r"you\s+(?:have\s+|just\s+)?(?:listed|showed|shown|found|gave|mentioned)\b"
)
_ASKED = re.compile(
    r"(?i)(?:\b(?:please|could you|i need you to|i would like you to)"
    r"|(?:^|[.:?!]\s+)(?:then|after that,|also|and))\s+([^.?!\n]{1,300}?)"
    r"(?=\s+\(|\s+(?:with|using)\s+[\w ]{1,60}?\s*(?:[\"\[{]|-?\d|true\b|false\b)|[.?!\n]|$)"
)

_VERBS = {
    "get": ("tell me", "look up", "give me"),
    "retrieve": ("tell me", "look up", "give me"),
    "fetch": ("look up", "tell me", "bring up"),
    "list": ("show me", "give me", "go through"),
    "display": ("show me", "bring up", "put up"),
    "show": ("show me", "give me", "bring up"),
}


def effect_of(description: str, variant: int = 0) -> str:
    """Return what a tool does, as the middle of a request: its first sentence in plain words."""
    sentence = _SENTENCE.split(" ".join(description.split()))[0].rstrip(" .!?:")
    sentence = _IDENTIFIER.sub(lambda match: humanize(match.group()), sentence)
    first, _, rest = sentence.partition(" ")
    verbs = _VERBS.get(
        first.lower().rstrip("s"), (first.lower() if first[1:].islower() else first,)
    )
    return f"{verbs[variant % len(verbs)]} {rest}".strip()[:160]


def write_values(said: Sequence[tuple[str, Any] | str], variant: int = 0) -> str:
    """Write labelled values as the end of a request; values stand as JSON.

    Args:
        said: Pairs of label and value, or words that stand for such a pair.
        variant: Which of the ways to write them.
    """
    if not said:
        return ""
    if variant % 3 == 0:
        return " (" + "; ".join(_say(each, ": ") for each in said) + ")"
    return (" with ", " using ")[variant % 2] + _enumerate(said)


def write_values_first(said: Sequence[tuple[str, Any] | str]) -> str:
    """Write labelled values as the beginning of a request."""
    return f"with {_enumerate(said)}: " if said else ""


def _enumerate(said: Sequence[tuple[str, Any] | str]) -> str:
    parts = [_say(each, " ") for each in said]
    return (", ".join(parts[:-1]) + " and " if parts[1:] else "") + parts[-1]


def _say(each: tuple[str, Any] | str, between: str) -> str:
    return each if isinstance(each, str) else f"{each[0]}{between}{_json(each[1])}"


def read_values(text: str, labels: Iterable[str]) -> list[tuple[str, Any]]:
    """Read labelled values back, in their order; the longest label at a place wins."""
    known = sorted({label for label in labels if label}, key=len, reverse=True)
    if not known:
        return []
    names = "|".join(r"\s+".join(map(re.escape, label.split())) for label in known)
    start = re.compile(
        rf"(?i)(?<![\w-])({names})\s*(?:(?::|=|\bis\b)\s*)?"
        rf"(?=[\"\[{{]|-?\d|true\b|false\b|null\b)"
    )
    found, position = [], 0
    while match := start.search(text, position):
        try:
            value, position = _DECODER.raw_decode(text, match.end())
        except (json.JSONDecodeError, RecursionError):
            position = match.end()
            continue
        found.append((" ".join(match.group(1).lower().split()), value))
    return found


def read_same(text: str, labels: Iterable[str]) -> list[str]:
    """Return the labels that a text refers to as "the same ..."; the longest at a place wins."""
    known = sorted({label for label in labels if label}, key=len, reverse=True)
    names = "|".join(r"\s+".join(map(re.escape, label.split())) for label in known)
    found = re.findall(rf"(?i)\bthe same ({names})\b", text) if known else []
    return list(dict.fromkeys(" ".join(label.lower().split()) for label in found))


def read_ordinals(text: str) -> list[tuple[int, str]]:
    """Return (position, noun) of each "the second book you listed"; position -1 is the last."""
    return [
        (_ORDINALS[position.lower()], " ".join(noun.lower().split()))
        for position, noun in _LISTED.findall(text)
    ]


def split_requests(text: str) -> list[tuple[str, str]]:
    """Return (what is asked for, all that is said of it) for each request in a text.

    It is the reverse of how the offline model writes, and so knows the same few leads only.
    """
    found = list(_ASKED.finditer(text))
    ends = [*(match.start() for match in found), len(text)][1:]
    return [
        (" ".join(match.group(1).split())[:160], text[match.start() : end])
        for match, end in zip(found, ends, strict=False)
    ]


def describe_result(content: Any, limit: int = 9) -> str:
    """Say what a result holds: "field: value" pairs, of a list its first three items."""
    pairs: list[str] = []
    _collect(content, "", pairs)
    return "; ".join(pairs[:limit])


def _collect(content: Any, name: str, pairs: list[str]) -> None:
    if isinstance(content, dict):
        for key, item in content.items():
            _collect(item, key, pairs)
    elif isinstance(content, list):
        if content and all(not isinstance(item, dict | list) for item in content):
            if len(_json(content)) <= 120 and name:
                pairs.append(f"{_label(name)}: {_json(content)}")
        else:
            for item in content[:3]:
                _collect(item, name, pairs)
    elif content not in (None, "") and name and not name.isdigit() and len(str(content)) <= 160:
        pairs.append(f"{_label(name)}: {_json(content)}")


def _label(key: str) -> str:
    """Return a field's name in words; a key that is itself a value, such as an id, as it is."""
    is_value = any(character.isdigit() or character == " " for character in key)
    return key if is_value else humanize(key)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
