"""The deterministic gate that every query passes before it is used."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from funreason_agents.schemas.base import find_choices, iterate_leaves, resolve_pointer
from funreason_agents.schemas.tasks import CallTrace
from funreason_agents.schemas.tools import ExecutedCall, Origin, ToolSpec
from funreason_agents.schemas.words import humanize, split_identifier
from funreason_agents.verification.derivations import DIRECT, Facts, find_derivation
from funreason_agents.verification.query_extras import find_extras
from funreason_agents.verification.reference_grammar import Span
from funreason_agents.verification.references import find_meant, find_references, remove_spans
from funreason_agents.verification.values import (
    fold,
    is_distinctive,
    is_trivial,
    same_value,
    text_holds,
)

_CALL_SYNTAX = re.compile(r"\b[A-Za-z_]\w*\([^()\n]*[=,\"'\d][^()\n]*\)")


def find_query_problems(
    query: str,
    trace: CallTrace,
    tools: Sequence[ToolSpec],
    facts: Facts,
    *,
    omitted: Sequence[Any] = (),
    pending: str = "",
    allowed: Sequence[Any] = (),
) -> list[str]:
    """Return what is wrong with `query`, in words that its writer can act on; empty if clean.

    A value that the user must supply stands in the query, or a reference in it leads to it; and
    the query asks for nothing else. Of a trace without calls it is not known what that would be,
    unless `allowed` tells.

    Args:
        query: The user utterance.
        trace: The gold call trace that it must lead to.
        tools: All tools of the environment.
        facts: The conversation before this turn.
        omitted: Values that the query must leave out, so that the assistant has to ask.
        pending: The user's message whose request this query only completes: what the user must
            supply may stand in either, and neither may hold more. The rest is looked for in
            `query` alone.
        allowed: What else the query may say: the inputs of a tool that does not exist.
    """
    problems = [f"it names the identifier {name!r}" for name in _identifiers(query, tools)]
    if _CALL_SYNTAX.search(query):
        problems.append("it contains call syntax")
    texts = (query, pending) if pending else (query,)
    asked = _Asked.of(texts, trace, tools, facts)
    if trace.calls and not pending and _says_only(query, [each.leaf for each in asked.supplied]):
        problems.append("it says nothing but values: say what you want done")
    unsaid = [leaf for value in omitted for _, leaf in iterate_leaves(value)]
    problems += [
        f"it says {leaf!r}, which it must leave out"
        for leaf in unsaid
        if any(says(leaf) for says in (asked.refers_to, asked.states))
    ]
    for each in asked.supplied:
        if any(same_value(each.leaf, leaf) for leaf in unsaid) or asked.supplies(each):
            continue
        # Without the value: models that copy the reason would have it in their query that way.
        problems.append(f"the value for {each.label!r} is missing")
    problems += [
        f"what it refers to for {label!r} is {value!r}, which is not wanted"
        for label, value in asked.find_astray(facts)
    ]
    revealed = _revealed(query, trace, facts)
    problems += [f"it reveals {v!r}, which only a tool can know" for v in revealed]
    if trace.calls or allowed:
        told = [*allowed, *revealed, *(each.leaf for each in asked.supplied)]
        extras = find_extras(texts, trace, tools, _until(facts, pending), told)
        problems += [f"it says {extra!r}, which is no input" for extra in extras]
    return problems


def _until(facts: Facts, pending: str) -> Facts:
    """Return the facts before the pending message: it cannot itself be why it may say a thing."""
    places = [n for n, each in enumerate(facts.sources) if pending and each.content == pending]
    return Facts(facts.sources[: places[-1]]) if places else facts


LEAST = 6
"""Letters that a request has at least, beside its values."""


def _says_only(query: str, values: Sequence[Any]) -> bool:
    rest = fold(query)
    for value in sorted((fold(str(value)) for value in values), key=len, reverse=True):
        rest = rest.replace(value, " ")
    return sum(map(str.isalpha, rest)) < LEAST


CHOICE = "choice among the results"
"""The label of which item of this turn's results is meant."""


@dataclass(frozen=True)
class _Supplied:
    """A leaf that the user must supply, and the whole argument that it belongs to."""

    label: str
    leaf: Any
    whole: Any

    @property
    def values(self) -> tuple[Any, Any]:
        """What a reference may lead to."""
        return self.leaf, self.whole


@dataclass(frozen=True)
class _Asked:
    """What the messages of one request state, and what they refer to."""

    texts: tuple[str, ...]
    supplied: tuple[_Supplied, ...]
    referred: tuple[_Supplied, ...]
    """Those of the supplied leaves that a reference leads to."""
    said: Facts
    """The messages without these references: the second one is no number two."""

    @classmethod
    def of(
        cls, texts: tuple[str, ...], trace: CallTrace, tools: Sequence[ToolSpec], facts: Facts
    ) -> _Asked:
        """Read the messages."""
        supplied = tuple(_iterate_supplied(trace, tools))
        # Where results of this turn are chosen from, "the second one" is one of those.
        bare = all(each.label != CHOICE for each in supplied)
        spans: list[list[Span]] = [[] for _ in texts]
        referred = []
        for each in supplied:
            found = [_find_spans(text, each, facts, bare=bare) for text in texts]
            if any(found):
                referred.append(each)
            for held, more in zip(spans, found, strict=True):
                held += more
        said = Facts()
        for text, held in zip(texts, spans, strict=True):
            said = said.add_text(remove_spans(text, held) if held else text)
        return cls(texts, supplied, tuple(referred), said)

    def states(self, leaf: Any) -> bool:
        """Return whether a message states the leaf itself."""
        if is_trivial(leaf):
            return any(text_holds(text, leaf) for text in self.said.texts)
        return find_derivation(leaf, self.said) in DIRECT

    def refers_to(self, leaf: Any) -> bool:
        """Return whether a message refers to the leaf."""
        return any(same_value(each.leaf, leaf) for each in self.referred)

    def find_astray(self, facts: Facts) -> Iterator[tuple[str, Any]]:
        """Yield (label, value) for what is referred to under a supplied label but not wanted."""
        for label in dict.fromkeys(each.label for each in self.supplied):
            wanted = [v for each in self.supplied if each.label == label for v in each.values]
            for value in (v for text in self.texts for v in find_meant(text, label, facts)):
                if not any(same_value(value, other) for other in wanted):
                    yield label, value

    def supplies(self, each: _Supplied) -> bool:
        """Return whether the messages supply a leaf, one way or the other."""
        return each in self.referred or find_derivation(each.leaf, self.said) in DIRECT


def _find_spans(text: str, each: _Supplied, facts: Facts, *, bare: bool) -> tuple[Span, ...]:
    """Return the references that lead to a leaf, or to the whole argument around it."""
    if each.label == CHOICE:
        return ()
    leaf = find_references(text, each.label, each.leaf, facts, bare=bare)
    if leaf or each.whole is each.leaf:
        return leaf
    return find_references(text, each.label, each.whole, facts, bare=bare)


ORDINALS = ("first", "second", "third")


def supplied_leaves(trace: CallTrace, tools: Sequence[ToolSpec]) -> Iterator[tuple[str, Any]]:
    """Yield (words for it, leaf) for everything that the user must supply.

    That is every leaf of the gold arguments that comes from no result and is not the schema's
    default; and which item is meant, where a value is taken from a list of several.
    """
    yield from ((each.label, each.leaf) for each in _iterate_supplied(trace, tools))


def _iterate_supplied(trace: CallTrace, tools: Sequence[ToolSpec]) -> Iterator[_Supplied]:
    specs = {tool.name: tool for tool in tools}
    for step in trace.calls:
        schemas = specs[step.call.name].properties
        for pointer, value in iterate_leaves(step.call.arguments):
            origin = find_origin(step, pointer)
            if origin is not None and origin.kind in ("output", "history"):
                continue
            parameter = pointer.split("/")[1]
            schema = schemas.get(parameter, {})
            if is_trivial(value) or ("default" in schema and schema["default"] == value):
                continue
            whole = step.call.arguments.get(parameter, value)
            yield _Supplied(humanize(parameter), value, whole)
        for position in find_selections(step, trace.calls):
            yield _Supplied(CHOICE, ORDINALS[position], ORDINALS[position])


def find_selections(step: ExecutedCall, calls: Sequence[ExecutedCall]) -> list[int]:
    """Return the positions of the list items that a call's arguments are taken from."""
    return [
        position
        for origin in step.origins.values()
        if origin.kind == "output" and origin.call is not None
        for position, _ in find_choices(calls[origin.call].result.content, origin.path or "")
    ]


def find_origin(step: ExecutedCall, pointer: str) -> Origin | None:
    """Return the origin recorded for an argument leaf, or for the closest part around it."""
    while pointer:
        if pointer in step.origins:
            return step.origins[pointer]
        pointer = pointer.rpartition("/")[0]
    return None


def _identifiers(query: str, tools: Sequence[ToolSpec]) -> list[str]:
    """Names in identifier form; ordinary words such as *find* or *city* pass."""
    found = set()
    words = set(re.findall(r"[A-Za-z_][\w.-]*\w", query))
    words |= {part for word in words for part in re.split(r"[.-]", word)}
    lowered = " ".join(query.lower().split())
    folded = {word.lower() for word in words if not word.isalpha()}
    for tool in tools:
        for name in (tool.name, *tool.properties):
            if _is_joined(name) and (
                name in words or (not name.isalpha() and name.lower() in folded)
            ):
                found.add(name)
        words_of = _spelled_out(tool.name)
        if words_of is not None and words_of.search(lowered):
            found.add(tool.name)
    return sorted(found)


@lru_cache(maxsize=4096)
def _is_joined(name: str) -> bool:
    return re.search(r"[a-z0-9][_.-]\w|[a-z][A-Z]", name) is not None


@lru_cache(maxsize=4096)
def _spelled_out(name: str) -> re.Pattern[str] | None:
    """Return what finds the words of a name of three or more; shorter ones are ordinary words."""
    parts = split_identifier(name)
    return re.compile(rf"\b{' '.join(map(re.escape, parts))}\b") if len(parts) >= 3 else None


def _revealed(query: str, trace: CallTrace, facts: Facts) -> list[Any]:
    """Return the distinctive values in `query` that only this turn's results reveal."""
    supplied = [
        resolve_pointer(step.call.arguments, pointer)
        for step in trace.calls
        for pointer, _ in iterate_leaves(step.call.arguments)
        if getattr(find_origin(step, pointer), "kind", None) != "output"
    ]
    found = []
    for step in trace.calls:
        for _, leaf in iterate_leaves(step.result.content):
            if not is_distinctive(leaf) or not text_holds(query, leaf):
                continue
            known = any(text_holds(str(value), leaf) for value in supplied)
            if not known and find_derivation(leaf, facts) not in DIRECT and leaf not in found:
                found.append(leaf)
    return found
