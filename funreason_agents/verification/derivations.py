"""Where a value can come from: verbatim, or by one of a short list of derivations.

A quarter of the gold turns of BFCL need a derivation (counted over its `multi_turn_base` items),
so plain containment would reject right answers; and anything looser would accept invented ones.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from funreason_agents.schemas.base import iterate_leaves, parse_result, pointer_field
from funreason_agents.schemas.trajectory import Message
from funreason_agents.schemas.words import humanize
from funreason_agents.verification.values import (
    DATE,
    Day,
    dates_in,
    days_of,
    fold,
    folded_holds,
    holds_number,
    is_number,
    is_trivial,
    numbers_in,
    same_value,
)

MAX_TERMS = 24
"""Numbers that sums and products are tried over: the latest ones of the conversation."""
DIRECT = frozenset({"trivial", "text", "result", "date", "number", "part", "path", "words"})
"""Derivations that only read a value off; the others compute one, or take it from the schema."""


@dataclass(frozen=True, eq=False)
class Source:
    """One utterance, one tool result or the arguments of one call, indexed when first asked."""

    kind: Literal["text", "result", "given"]
    """`given`: arguments of a call. They label values, but nothing can be derived from them."""
    content: Any

    @cached_property
    def pairs(self) -> tuple[tuple[str, Any], ...]:
        """(field, leaf) pairs; object keys count as leaves."""
        return () if self.kind == "text" else tuple(_fields_and_leaves(self.content))

    @cached_property
    def lists(self) -> tuple[tuple[Any, ...], ...]:
        """The lists inside: they can be counted and summed."""
        return () if self.kind == "text" else tuple(_lists(self.content))

    @cached_property
    def rows(self) -> tuple[dict[str, Any], ...]:
        """The scalar fields of each object inside, by label; objects with one field are none."""
        return () if self.kind == "text" else tuple(_rows(self.content))

    @cached_property
    def text(self) -> str:
        """Everything it says, one leaf a line."""
        if self.kind == "text":
            return str(self.content)
        return "\n".join(str(leaf).replace("\n", " ") for _, leaf in self.pairs)

    @cached_property
    def folded(self) -> str:
        """The text as it is compared; a line break still parts two leaves."""
        return fold(self.text) if self.kind == "text" else "\n".join(map(fold, self._strings))

    @cached_property
    def strings(self) -> frozenset[str]:
        """The leaves that are strings, as they are compared."""
        return frozenset(fold(leaf) for _, leaf in self.pairs if isinstance(leaf, str))

    @cached_property
    def numbers(self) -> tuple[float, ...]:
        """The leaves that are numbers, ascending."""
        return tuple(sorted(leaf for _, leaf in self.pairs if is_number(leaf)))

    @cached_property
    def written(self) -> tuple[float, ...]:
        """The numbers in its text, parts of codes and dates included, ascending."""
        return tuple(sorted({n for line in self._lines for n in numbers_in(line)}))

    @cached_property
    def plain(self) -> tuple[float, ...]:
        """The numbers in its text that stand for themselves, ascending."""
        found = {n for line in self._lines for n in numbers_in(line, plain=True)}
        return tuple(sorted(found | set(self.numbers)))

    @cached_property
    def days(self) -> frozenset[Day]:
        """The dates in its text."""
        return frozenset(day for line in self._lines for day in dates_in(line))

    def spells(self, squeezed: str) -> bool:
        """Return whether whole words of its text, run together, give `squeezed`."""
        text, edges = self._squeezed
        place = text.find(squeezed)
        while place >= 0:
            if place in edges and place + len(squeezed) in edges:
                return True
            place = text.find(squeezed, place + 1)
        return False

    @cached_property
    def _squeezed(self) -> tuple[str, frozenset[int]]:
        words = re.findall(r"[^\W_]+", self.folded)
        return "".join(words), frozenset(itertools.accumulate(map(len, words), initial=0))

    @cached_property
    def _strings(self) -> tuple[str, ...]:
        return tuple(str(leaf) for _, leaf in self.pairs)

    @cached_property
    def _lines(self) -> tuple[str, ...]:
        """What is searched for numbers and dates: an utterance, or each distinct text leaf."""
        if self.kind == "text":
            return (self.text,)
        return tuple(dict.fromkeys(leaf for _, leaf in self.pairs if isinstance(leaf, str)))


@dataclass(frozen=True)
class Facts:
    """What has been said and seen up to a point of the conversation."""

    sources: tuple[Source, ...] = ()

    def add_text(self, text: str) -> Facts:
        """Return the facts with one more utterance."""
        return Facts((*self.sources, Source("text", text)))

    def add_result(self, content: Any) -> Facts:
        """Return the facts with one more tool result."""
        return Facts((*self.sources, Source("result", content)))

    def add_arguments(self, arguments: dict[str, Any]) -> Facts:
        """Return the facts with the arguments of one more call: a reply may name them."""
        return Facts((*self.sources, Source("given", arguments)))

    def add_messages(self, messages: Sequence[Message]) -> Facts:
        """Return the facts with what more messages said and showed."""
        found = []
        for message in messages:
            if message.role == "tool":
                found.append(Source("result", parse_result(message.content)))
            elif message.content:
                found.append(Source("text", message.content))
            found += [Source("given", call.arguments) for call in message.tool_calls]
        return Facts((*self.sources, *found))

    @property
    def texts(self) -> tuple[str, ...]:
        """All utterances."""
        return tuple(source.text for source in self.sources if source.kind == "text")

    @property
    def results(self) -> tuple[tuple[str, Any], ...]:
        """(field, leaf) pairs of tool results, oldest first; object keys count as leaves."""
        return tuple(p for source in self.sources if source.kind == "result" for p in source.pairs)

    @property
    def leaves(self) -> tuple[Any, ...]:
        """The leaves of all results."""
        return tuple(value for _, value in self.results)

    @property
    def known(self) -> tuple[Source, ...]:
        """The sources that values can be derived from."""
        return tuple(source for source in self.sources if source.kind != "given")


def facts_of(messages: Sequence[Message]) -> Facts:
    """Collect what a conversation said and showed."""
    return Facts().add_messages(messages)


def find_derivation(value: Any, facts: Facts, schema: dict[str, Any] | None = None) -> str | None:
    """Return how `value` follows from `facts`, or None if it does not.

    Args:
        value: A leaf: string, number, bool or null.
        facts: The conversation and the results seen so far.
        schema: JSON Schema of the parameter; its enum, const, default and examples count.

    Returns:
        `"trivial"`, `"text"`, `"result"`, `"schema"`, `"date"`, `"number"`, `"count"`, `"sum"`,
        `"difference"`, `"product"`, `"path"`, `"part"`, `"words"`, or None.
    """
    if is_trivial(value):
        return "trivial"
    texts = [source for source in facts.known if source.kind == "text"]
    results = [source for source in facts.known if source.kind == "result"]
    folded = "" if is_number(value) else fold(str(value))
    if is_number(value):
        if any(holds_number(source.written, value) for source in texts):
            return "text"
        if any(holds_number(source.numbers, value) for source in results):
            return "result"
    else:
        if any(folded_holds(source.folded, folded) for source in texts):
            return "text"
        if any(folded in source.strings for source in results):
            return "result"
    if schema is not None and any(same_value(value, option) for option in _options(schema)):
        return "schema"
    return _derive_number(value, facts) if is_number(value) else _derive_text(str(value), facts)


def squeeze(text: str) -> str:
    """Return the letters and digits of `text`, which is what a slug keeps of it."""
    return re.sub(r"[\W_]", "", fold(text))


def holds_day(facts: Facts, day: Day) -> bool:
    """Return whether the facts name the very day, year included."""
    return any(day in source.days for source in facts.known)


def _derive_text(value: str, facts: Facts) -> str | None:
    folded, date = fold(value), DATE.fullmatch(value.strip())
    if date and any(day[0] is not None and holds_day(facts, day) for day in days_of(date)):
        return "date"
    if re.fullmatch(r"[-+]?\d+(\.\d+)?", value):
        number = float(value)
        found = any(
            holds_number(each, number) for s in facts.known for each in (s.written, s.numbers)
        )
        return "number" if found else None
    results = [source for source in facts.known if source.kind == "result"]
    if len(value) >= 3 and any(folded_holds(source.folded, folded) for source in results):
        return "part"
    parts = [fold(part) for part in re.split(r"[/\\]", value) if part not in ("", ".", "..")]
    if len(parts) > 1 and all(any(folded_holds(s.folded, p) for s in facts.known) for p in parts):
        return "path"
    squeezed = squeeze(value)
    spoken = (source for source in facts.known if source.kind == "text")
    return "words" if len(squeezed) >= 4 and any(s.spells(squeezed) for s in spoken) else None


def _derive_number(value: float, facts: Facts) -> str | None:
    results = [source for source in facts.known if source.kind == "result"]
    if any(holds_number(source.written, value) for source in results):
        return "number"
    for items in (items for source in results for items in source.lists):
        if value == len(items):
            return "count"
        if len(items) > 1 and all(map(is_number, items)) and same_value(value, sum(items)):
            return "sum"
    return combine(value, list(itertools.islice(latest_numbers(facts), MAX_TERMS)))


def combine(value: float, terms: Sequence[float]) -> str | None:
    """Return how two of `terms` give `value`: sum, difference or product; None if they do not."""
    for left, right in itertools.combinations(terms, 2):
        if same_value(value, left + right):
            return "sum"
        if same_value(value, abs(left - right)):
            return "difference"
        if same_value(round(value, 2), round(left * right, 2)):
            return "product"
    return None


def latest_numbers(facts: Facts) -> Iterator[float]:
    """Yield the distinct numbers of texts and results, those that the user said last first."""
    seen: set[float] = set()
    for kind in ("text", "result"):
        for source in reversed(facts.known):
            if source.kind != kind:
                continue
            held = numbers_in(source.text) if kind == "text" else _numbers(source)
            for number in reversed(held):
                if number not in seen:
                    seen.add(number)
                    yield number


def _numbers(source: Source) -> list[float]:
    return [leaf for _, leaf in source.pairs if is_number(leaf)]


def _options(schema: dict[str, Any]) -> Iterator[Any]:
    for each in (schema, *(schema.get("anyOf") or ()), schema.get("items")):
        if not isinstance(each, dict):  # a table fills what is not there with nulls
            continue
        yield from each.get("enum") or ()
        yield from each.get("examples") or ()
        for key in ("const", "default"):
            if key in each:
                default = each[key]
                yield from default if isinstance(default, list) else [default]


def _fields_and_leaves(content: Any) -> Iterator[tuple[str, Any]]:
    for pointer, leaf in iterate_leaves(content):
        yield pointer_field(pointer), leaf
    for pointer, key in _keys(content, ""):
        yield pointer, key


def _keys(content: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield the keys of an object as leaves of the field that holds it: a look-up table."""
    if isinstance(content, dict):
        for key, item in content.items():
            if name:
                yield name, key
            yield from _keys(item, key)
    elif isinstance(content, list):
        for item in content:
            yield from _keys(item, name)


def _lists(content: Any) -> Iterator[tuple[Any, ...]]:
    if isinstance(content, dict):
        for item in content.values():
            yield from _lists(item)
    elif isinstance(content, list):
        yield tuple(content)
        for item in content:
            yield from _lists(item)


def _rows(content: Any) -> Iterator[dict[str, Any]]:
    if isinstance(content, dict):
        row = {humanize(k): v for k, v in content.items() if not isinstance(v, dict | list)}
        if len(row) > 1:
            yield row
        content = list(content.values())
    if isinstance(content, list):
        for item in content:
            yield from _rows(item)
