"""Where a value can come from: verbatim, or by one of a short list of derivations.

A quarter of the gold turns of BFCL need a derivation (counted over its `multi_turn_base` items),
so plain containment would reject right answers; and anything looser would accept invented ones.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from funreason_agents.schemas.base import iterate_leaves, pointer_field
from funreason_agents.schemas.trajectory import Message, parse_result
from funreason_agents.verification.values import (
    date_forms,
    fold,
    is_number,
    is_trivial,
    numbers_in,
    same_value,
    text_holds,
)

MAX_TERMS = 24
"""Numbers that sums and products are tried over: the latest ones of the conversation."""


@dataclass(frozen=True)
class Facts:
    """What has been said and seen up to a point of the conversation."""

    texts: tuple[str, ...] = ()
    results: tuple[tuple[str, Any], ...] = ()
    """(field, leaf) pairs of tool results, oldest first; object keys count as leaves."""
    lists: tuple[tuple[Any, ...], ...] = ()
    """The lists inside tool results: they can be counted and summed."""

    def add_text(self, text: str) -> Facts:
        """Return the facts with one more utterance."""
        return Facts((*self.texts, text), self.results, self.lists)

    def add_result(self, content: Any) -> Facts:
        """Return the facts with one more tool result."""
        pairs = tuple(_fields_and_leaves(content))
        return Facts(self.texts, (*self.results, *pairs), (*self.lists, *_lists(content)))

    @property
    def leaves(self) -> tuple[Any, ...]:
        """The leaves of all results."""
        return tuple(value for _, value in self.results)


def facts_of(messages: Sequence[Message]) -> Facts:
    """Collect what a conversation said and showed."""
    facts = Facts()
    for message in messages:
        if message.role == "tool":
            facts = facts.add_result(parse_result(message.content))
        elif message.content:
            facts = facts.add_text(message.content)
    return facts


def find_derivation(value: Any, facts: Facts, schema: dict[str, Any] | None = None) -> str | None:
    """Return how `value` follows from `facts`, or None if it does not.

    Args:
        value: A leaf: string, number, bool or null.
        facts: The conversation and the results seen so far.
        schema: JSON Schema of the parameter; its enum, const, default and examples count.

    Returns:
        `"trivial"`, `"text"`, `"result"`, `"schema"`, `"date"`, `"count"`, `"sum"`,
        `"difference"`, `"product"`, `"path"`, `"part"`, `"words"`, or None.
    """
    if is_trivial(value):
        return "trivial"
    if any(text_holds(text, value) for text in facts.texts):
        return "text"
    if any(same_value(value, leaf) for leaf in facts.leaves):
        return "result"
    if schema is not None and any(same_value(value, option) for option in _options(schema)):
        return "schema"
    return _derive_number(value, facts) if is_number(value) else _derive_text(str(value), facts)


def _derive_text(value: str, facts: Facts) -> str | None:
    everything = [*facts.texts, *(str(leaf) for leaf in facts.leaves)]
    if any(text_holds(text, form) for form in date_forms(value) for text in everything):
        return "date"
    if any(same_value(value, form) for leaf in facts.leaves for form in date_forms(leaf)):
        return "date"
    if re.fullmatch(r"[-+]?\d+(\.\d+)?", value):
        number = float(value)
        return "number" if any(number in numbers_in(text) for text in everything) else None
    if len(value) >= 3 and any(text_holds(str(leaf), value) for leaf in facts.leaves):
        return "part"
    parts = [part for part in re.split(r"[/\\]", value) if part not in ("", ".", "..")]
    if len(parts) > 1 and all(any(text_holds(t, part) for t in everything) for part in parts):
        return "path"
    squeezed = re.sub(r"[^a-z0-9]", "", fold(value))
    if len(squeezed) >= 4 and any(squeezed in _squeeze(text) for text in facts.texts):
        return "words"
    return None


def _derive_number(value: float, facts: Facts) -> str | None:
    if any(value in numbers_in(str(leaf)) for leaf in facts.leaves if isinstance(leaf, str)):
        return "number"
    for items in facts.lists:
        if value == len(items):
            return "count"
        if len(items) > 1 and all(map(is_number, items)) and same_value(value, sum(items)):
            return "sum"
    terms = [leaf for leaf in facts.leaves if is_number(leaf)]
    terms += [number for text in facts.texts for number in numbers_in(text)]
    distinct = list(dict.fromkeys(reversed(terms)))[:MAX_TERMS]
    for left, right in itertools.combinations(distinct, 2):
        if same_value(value, left + right):
            return "sum"
        if same_value(value, abs(left - right)):
            return "difference"
        if same_value(round(value, 2), round(left * right, 2)):
            return "product"
    return None


def _options(schema: dict[str, Any]) -> Iterator[Any]:
    for each in (schema, *schema.get("anyOf", ()), schema.get("items") or {}):
        yield from each.get("enum", ())
        yield from each.get("examples", ())
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


def _squeeze(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", fold(text))
