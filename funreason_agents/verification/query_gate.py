"""The deterministic gate that every query passes before it is used."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from funreason_agents.schemas.base import find_choices, iterate_leaves, resolve_pointer
from funreason_agents.schemas.tasks import CallTrace
from funreason_agents.schemas.tools import ExecutedCall, Origin, ToolSpec
from funreason_agents.schemas.words import humanize, split_identifier
from funreason_agents.verification.derivations import DIRECT, Facts, find_derivation
from funreason_agents.verification.values import is_distinctive, is_trivial, text_holds

_CALL_SYNTAX = re.compile(r"\b[A-Za-z_]\w*\([^()\n]*[=,\"'\d][^()\n]*\)")


def find_query_problems(
    query: str, trace: CallTrace, tools: Sequence[ToolSpec], facts: Facts
) -> list[str]:
    """Return what is wrong with `query`, in words that its writer can act on; empty if clean.

    Args:
        query: The user utterance.
        trace: The gold call trace that it must lead to.
        tools: All tools of the environment.
        facts: The conversation before this turn.
    """
    problems = [f"it names the identifier {name!r}" for name in _identifiers(query, tools)]
    if _CALL_SYNTAX.search(query):
        problems.append("it contains call syntax")
    said = Facts().add_text(query)
    for label, value in supplied_leaves(trace, tools):
        if find_derivation(value, said) not in DIRECT:
            problems.append(f"the value for {label!r} is missing: {value!r}")
    problems += [
        f"it reveals {v!r}, which only a tool can know" for v in _revealed(query, trace, facts)
    ]
    return problems


ORDINALS = ("first", "second", "third")


def supplied_leaves(trace: CallTrace, tools: Sequence[ToolSpec]) -> Iterator[tuple[str, Any]]:
    """Yield (words for it, leaf) for everything that the user must supply.

    That is every leaf of the gold arguments that comes from no result and is not the schema's
    default; and which item is meant, where a value is taken from a list of several.
    """
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
            yield humanize(parameter), value
        for position in find_selections(step, trace.calls):
            yield "choice among the results", ORDINALS[position]


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
            joined = re.search(r"[a-z0-9][_.-]\w|[a-z][A-Z]", name) is not None
            if joined and (name in words or (not name.isalpha() and name.lower() in folded)):
                found.add(name)
        parts = split_identifier(tool.name)
        if len(parts) >= 3 and re.search(rf"\b{' '.join(map(re.escape, parts))}\b", lowered):
            found.add(tool.name)
    return sorted(found)


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
