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


def write_values(pairs: Sequence[tuple[str, Any]], variant: int = 0) -> str:
    """Write labelled values as the end of a request; values stand as JSON."""
    if not pairs:
        return ""
    if variant % 3 == 0:
        return " (" + "; ".join(f"{label}: {_json(value)}" for label, value in pairs) + ")"
    parts = [f"{label} {_json(value)}" for label, value in pairs]
    start = (" with ", " using ")[variant % 2]
    return start + (", ".join(parts[:-1]) + " and " if parts[1:] else "") + parts[-1]


def read_values(text: str, labels: Iterable[str]) -> list[tuple[str, Any]]:
    """Read labelled values back, in their order; the longest label at a place wins."""
    known = sorted({label for label in labels if label}, key=len, reverse=True)
    if not known:
        return []
    names = "|".join(r"\s+".join(map(re.escape, label.split())) for label in known)
    start = re.compile(
        rf"(?i)(?<![\w-])({names})\s*(?::|=|\bis\b)?\s*(?=[\"\[{{]|-?\d|true\b|false\b|null\b)"
    )
    found, position = [], 0
    while match := start.search(text, position):
        try:
            value, position = _DECODER.raw_decode(text, match.end())
        except json.JSONDecodeError:
            position = match.end()
            continue
        found.append((" ".join(match.group(1).lower().split()), value))
    return found


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
