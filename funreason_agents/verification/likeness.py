"""How alike tools are, going by the words of their names and descriptions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from funreason_agents.schemas.tools import ToolSpec
from funreason_agents.schemas.words import content_words, overlap

SAME = 0.85
"""Least overlap of two descriptions that nearly say the same. Over the bundled environments and
BFCL's classes, pairs that can stand in for each other reach it (1.0: the outside temperature from
two sources); neighbours such as `get_tweet_comments` and `get_user_tweets` come to 0.83 at most."""
RELATED = 0.3
"""Least overlap at which a tool from elsewhere counts as related to one of the environment."""


def find_same(tool: ToolSpec, others: Sequence[ToolSpec]) -> str | None:
    """Return the name of another tool whose description nearly says the same, or None."""
    mine = content_words(_purpose(tool))
    for other in others:
        if other.name != tool.name and overlap(mine, content_words(_purpose(other))) >= SAME:
            return other.name
    return None


def find_related(tool: ToolSpec, own: Sequence[ToolSpec]) -> str | None:
    """Return the name of a tool of `own` that one from elsewhere could be mistaken for, or None.

    Tools are related if they share many words, or if one has all words of the other's name.
    """
    name, words = content_words(tool.name), _words(tool)
    for other in own:
        named, theirs = content_words(other.name), _words(other)
        if (
            name <= theirs
            or (len(named) > 1 and named <= words)
            or overlap(words, theirs) >= RELATED
        ):
            return other.name
    return None


def coverage(request: str, tool: ToolSpec) -> float:
    """Return the share of a request's words that a tool, its parameters included, speaks of."""
    asked = content_words(request)
    told = _words(tool) | content_words(" ".join(_parameter_texts(tool)))
    return len(asked & told) / len(asked) if asked else 0.0


def _purpose(tool: ToolSpec) -> str:
    """Return the description without the paragraphs that follow the first."""
    return tool.description.strip().split("\n\n")[0]


def _words(tool: ToolSpec) -> frozenset[str]:
    return content_words(f"{tool.name} {_purpose(tool)}")


def _parameter_texts(tool: ToolSpec) -> Iterable[str]:
    for name, schema in tool.properties.items():
        yield f"{name} {schema.get('description', '')}"
