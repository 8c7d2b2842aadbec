"""How alike tools are, going by the words of their names and descriptions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from funreason_agents.schemas.tools import ToolSpec
from funreason_agents.schemas.words import content_words, overlap

SAME = 0.85
"""Least overlap of two descriptions that nearly say the same. Over the bundled environments and
BFCL's classes, pairs that can stand in for each other reach it (1.0: the outside temperature from
two sources); neighbours such as `get_tweet_comments` and `get_user_tweets` come to 0.83 at most."""
RELATED = 0.3
"""Least overlap at which a tool from elsewhere counts as related to one of the environment."""
_PART = 0.4
"""Least share of the words of a part of a request at which a tool speaks of that part."""
_COURTESY = content_words(
    "please could would can want need like get give have help thanks hi hello dear hey kindly just "
    "now today also then next me my i we our us you so do does did up out off some any one thing "
    "sure know let make if there here what how when where who am been has had very really soon"
)


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
    return len(asked & _told(tool)) / len(asked) if asked else 0.0


def find_asked(
    request: str, own: Sequence[ToolSpec], foreign: ToolSpec
) -> Iterator[tuple[str, str]]:
    """Yield (tool, part of the request) where a part asks for what a tool of `own` does.

    Parts are sentences and what "and" joins. One asks for a tool if it has all words of its name,
    or if the tool speaks of much of it; words that the foreign tool and the usual values for it
    have are no sign, and one word alone is none either.
    """
    examples = [schema.get("examples") or () for schema in _schemas(foreign).values()]
    theirs = _told(foreign) | content_words(" ".join(str(v) for each in examples for v in each))
    for part in re.split(r"[.!?;\n]+|,|\b(?:and|then|also)\b", request):
        said = content_words(part) - _COURTESY
        for tool in own:
            named = content_words(tool.name)
            shared = (said & _told(tool)) - theirs
            if len(shared) > 1 and (named <= shared or len(shared) >= _PART * len(said)):
                yield tool.name, part.strip()


def _told(tool: ToolSpec) -> frozenset[str]:
    return _words(tool) | content_words(" ".join(_parameter_texts(tool)))


def _purpose(tool: ToolSpec) -> str:
    """Return the description without the paragraphs that follow the first."""
    return tool.description.strip().split("\n\n")[0]


def _words(tool: ToolSpec) -> frozenset[str]:
    return content_words(f"{tool.name} {_purpose(tool)}")


def _parameter_texts(tool: ToolSpec) -> Iterable[str]:
    for name, schema in _schemas(tool).items():
        yield f"{name} {schema.get('description') or ''}"


def _schemas(tool: ToolSpec) -> dict[str, dict[str, Any]]:
    """Return the schemas of the parameters; a table fills what is not there with nulls."""
    properties: dict[str, Any] = tool.parameters.get("properties") or {}
    return {name: each if isinstance(each, dict) else {} for name, each in properties.items()}
