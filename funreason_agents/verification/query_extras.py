"""What a query says beside its request: a number, a name or a quotation that nothing calls for.

A user who names more than the gold trace takes wants more than the gold trace does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from funreason_agents.schemas.tasks import CallTrace
from funreason_agents.schemas.tools import ToolSpec
from funreason_agents.verification.derivations import Facts
from funreason_agents.verification.values import (
    DATE,
    fold,
    folded_holds,
    holds_number,
    numbers_in,
    to_plain,
)

_NUMBER = re.compile(
    r"(?<![\w.:/-])[-+]?\d+(?:[.,]\d+)*(?!\w*\d)(?![-:/]\d)"
    r"(?!(?i:st|nd|rd|th|h|s| ?[ap]\.?m\b| o'clock))"
)
_QUOTED = re.compile(r"\"([^\"\n]{2,})\"")
_WORD = re.compile(r"[^\W\d_][\w']*(?:-\w+)*")
_OPENS = re.compile(r"(?:^|[.!?:;\n\"()*\u2013\u2026-])\s*$")
_ORDINARY = frozenset(
    re.findall(
        r"[\w']+",
        "i i'm i'd i've i'll january february march april may june july august september october "
        "november december monday tuesday wednesday thursday friday saturday sunday mr mrs ms dr "
        "dear sir madam hi hello hey good morning afternoon evening day best kind warm regards "
        "wishes many thanks thank you cheers please yours sincerely assistant team english "
        "christmas easter new year eve ai",
    )
)
_ENGLISH = frozenset(
    re.findall(r"\w+", "the a an to for please and of in my is with it you that on me by")
)


def find_extras(
    texts: Sequence[str],
    trace: CallTrace,
    tools: Sequence[ToolSpec],
    facts: Facts,
    allowed: Sequence[Any] = (),
) -> list[str]:
    """Return the numbers, names and quotations that neither the gold calls nor the talk hold.

    Only what stands out is looked at: numbers in digits that are no date, time, ordinal or count
    of what is asked for; two or more capitalised words on end, in English; and what stands in
    double quotes. Words of the tools' own descriptions are ordinary ones.

    Args:
        texts: The messages of the request.
        trace: The gold call trace.
        tools: All tools of the environment.
        facts: The conversation before this turn.
        allowed: What else may be said.
    """
    known = _Known(trace, tools, facts, allowed)
    found: dict[str, None] = {}
    for text in map(to_plain, texts):
        found.update(dict.fromkeys(n for n in _numbers(text) if not known.has_number(n)))
        found.update(dict.fromkeys(q for q in _QUOTED.findall(text) if not known.has_text(q)))
        found.update(dict.fromkeys(_unknown_names(text, known)))
    return list(found)


class _Known:
    """What may be said."""

    def __init__(
        self, trace: CallTrace, tools: Sequence[ToolSpec], facts: Facts, allowed: Sequence[Any]
    ) -> None:
        wanted = [*_defaults(trace, tools), *allowed]
        counts = [1, len(trace.calls), len(trace.requests)]
        for step in trace.calls:
            wanted.append(step.call.arguments)
            counts += map(len, _lists(step.call.arguments))
        self._sources = facts.add_result(wanted).add_result(counts).sources
        self._tools = tools

    @cached_property
    def _words(self) -> set[str]:
        return {word for each in self._sources for word in re.findall(r"\w+", each.folded)}

    @cached_property
    def _domain(self) -> set[str]:
        told = [[tool.name, tool.description, tool.parameters] for tool in self._tools]
        return set(re.findall(r"[a-z0-9]+", fold(str(told))))

    def has_number(self, said: str) -> bool:
        readings = [n for number in numbers_in(said) for n in (number, -number)]
        readings += [n * factor for n in readings for factor in (100, 0.01)]
        return any(
            holds_number(ordered, number)
            for source in self._sources
            for ordered in (source.written, source.plain)
            for number in readings
        )

    def has_text(self, said: str) -> bool:
        text = fold(said).strip(" .,!?")
        held = any(folded_holds(source.folded, text) for source in self._sources)
        return held or all(map(self.has_word, _parts(text)))

    def has_word(self, word: str) -> bool:
        return word in self._words or word in self._domain


def _parts(text: str) -> list[str]:
    return re.findall(r"\w+", re.sub(r"'s\b", "", fold(text)))


def _defaults(trace: CallTrace, tools: Sequence[ToolSpec]) -> list[Any]:
    called = set(trace.tool_names)
    schemas = (schema for t in tools if t.name in called for schema in t.properties.values())
    return [schema["default"] for schema in schemas if "default" in schema]


def _lists(content: Any) -> Iterator[list[Any]]:
    if isinstance(content, list):
        yield content
    for child in content.values() if isinstance(content, dict) else content:
        if isinstance(child, dict | list):
            yield from _lists(child)


def _numbers(text: str) -> list[str]:
    return _NUMBER.findall(DATE.sub(" ", text))


def _unknown_names(text: str, known: _Known) -> Iterator[str]:
    """Yield each row of capitalised words, if a word of it is unknown.

    The first word of a sentence has its capital anyway, and in many languages each noun has one.
    """
    if len(_ENGLISH & set(re.findall(r"[a-z]+", text.lower()))) < 2:
        return
    for row in _rows(text):
        if len(row) > 1 and not all(map(known.has_word, _parts(" ".join(row)))):
            yield " ".join(row)


def _rows(text: str) -> Iterator[list[str]]:
    row: list[str] = []
    end = -1
    for match in _WORD.finditer(text):
        word = match.group()
        is_name = word[0].isupper() and not word.isupper() and word.lower() not in _ORDINARY
        is_next = text[end : match.start()] == " " if end >= 0 else False
        if row and not (is_name and is_next):
            yield row
            row = []
        if is_name and not _OPENS.search(text[: match.start()]):
            row.append(word)
        end = match.end()
    yield row
