"""Words of identifiers and descriptions: how names, fields and parameters are compared."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_STOP = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "to",
        "in",
        "for",
        "on",
        "by",
        "with",
        "and",
        "or",
        "is",
        "are",
        "be",
        "it",
        "its",
        "that",
        "this",
        "from",
        "as",
        "at",
        "which",
        "if",
        "not",
        "no",
        "into",
        "your",
        "you",
        "their",
        "his",
        "her",
        "was",
        "were",
        "will",
        "can",
        "must",
        "e",
        "g",
        "string",
        "list",
        "number",
        "value",
        "true",
        "false",
    ]
)


@lru_cache(maxsize=65536)
def split_identifier(name: str) -> tuple[str, ...]:
    """Split `snake_case`, `camelCase` and `kebab-case` into lower-case words."""
    return tuple(word.lower() for word in _CAMEL.findall(name))


def humanize(name: str) -> str:
    """Return the words of an identifier with spaces between: the label a user would write."""
    return " ".join(split_identifier(name)) or name


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Strip the commonest English endings, enough to match `orders` with `order`."""
    for ending, left in (("ies", 2), ("sses", 3), ("s", 3)):
        if word.endswith(ending) and len(word) - len(ending) >= left and not word.endswith("ss"):
            base = word[: -len(ending)]
            return base + {"ies": "y", "sses": "ss", "s": ""}[ending]
    return word


@lru_cache(maxsize=65536)
def content_words(text: str) -> frozenset[str]:
    """Return the stems of the words of `text` that carry meaning."""
    words = (word for part in re.findall(r"[A-Za-z0-9_]+", text) for word in split_identifier(part))
    return frozenset(stem(word) for word in words if word not in _STOP and len(word) > 1)


def overlap(left: Iterable[str], right: Iterable[str]) -> float:
    """Return the share of common words, between 0 and 1 (Dice coefficient)."""
    first, second = set(left), set(right)
    total = len(first) + len(second)
    return 2 * len(first & second) / total if total else 0.0


@lru_cache(maxsize=1 << 18)
def match_field(
    parameter: str, description: str, field: str, container: str = "", owner: str = ""
) -> float:
    """Score from 0 to 1 how well an output field or state key fits a parameter.

    Args:
        parameter: Name of the parameter.
        description: Its description.
        field: Name of the field that holds the value.
        container: Name of the list or object around the field.
        owner: Further words about where the value comes from, such as a tool's description.
    """
    wanted, offered = content_words(parameter), content_words(field)
    if wanted and wanted == offered:
        return 1.0
    inside = content_words(f"{container} {field}")
    names = max(overlap(wanted, offered), overlap(wanted, inside))
    told = content_words(description)
    hinted = len(offered & told) / len(offered) if offered else 0.0
    owned = overlap(wanted | told, inside | content_words(owner)) if owner else 0.0
    return min(0.99, 0.6 * names + 0.35 * hinted + 0.05 * owned)
