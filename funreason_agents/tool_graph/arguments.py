"""Sampling the arguments of a call, with the origin of every value."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from funreason_agents.environments.execution import PlannedCall
from funreason_agents.schemas.base import canonical_json
from funreason_agents.schemas.tools import Origin, ToolEdge, ToolSpec
from funreason_agents.schemas.words import match_field, split_identifier
from funreason_agents.tool_graph.values import (
    Value,
    fits,
    generate,
    has_form,
    pick_option,
    schema_type,
    validator,
)

GOOD_MATCH = 0.6
"""Least score of `match_field` at which a field counts as a source for a parameter."""
DOUBT = 0.1
"""How much each refusal of values from one kind of place lowers the others from there."""
LOOSE = 40
"""Length of a text that may name something."""
OPTIONAL_RATE = 0.25
"""How often an optional parameter is given, where a good value for it is known."""


@dataclass(frozen=True)
class Sources:
    """Where arguments may come from, best first."""

    known: Sequence[Value] = ()
    """What a user can know: the state before this turn, and what earlier turns showed."""
    bound: Mapping[str, Sequence[Value]] = field(default_factory=dict)
    """Parameters that must be filled by an output, with the outputs that may fill them."""
    excluded: Collection[str] = frozenset()
    """Keys (`exclusion_key`) of values that were tried and refused."""
    doubts: Mapping[str, int] = field(default_factory=Counter)
    """Refusals so far by `doubt_key`: by the kind of place that the values came from."""
    loose: bool = False
    """Draw texts that nothing fits by name from all that is known, rather than invent them."""
    reference_rate: float = 0.0
    """How often a value is one that the user can refer to, where there is such a value."""
    referable: Callable[[str, bool], Sequence[Any]] = lambda _name, _listed: ()
    """The values for a parameter that words can refer to; if the flag is set, only those that
    an earlier result listed."""


def exclusion_key(tool: str, parameter: str, value: Any) -> str:
    """Name a value that a tool refused for a parameter."""
    return canonical_json([tool, parameter, value])


def doubt_key(tool: str, parameter: str, origin: Origin) -> str:
    """Name the kind of place a value came from: how deep it lies, and in which field."""
    parts = (origin.path or "").split("/")
    last = next((part for part in reversed(parts) if not part.isdigit()), "")
    return canonical_json([tool, parameter, origin.kind, len(parts), last])


def candidates(
    name: str, schema: dict[str, Any], values: Sequence[Value], least: float = GOOD_MATCH
) -> list[tuple[float, Value]]:
    """Return the values that fit a parameter by name and type, with their scores."""
    told = schema.get("description", "")
    scores: dict[tuple[str, str, str], float] = {}
    is_valid = validator(schema).is_valid
    found = []
    for value in values:
        key = (value.field, value.container, value.source)
        if key not in scores:
            scores[key] = match_field(name, told, value.field, value.container)
        if scores[key] >= least and is_valid(value.value):
            found.append((scores[key], value))
    return found


def edge_values(edges: Sequence[ToolEdge], outputs: Sequence[Value]) -> list[Value]:
    """Return the outputs that one of `edges` maps to its parameter, latest call first."""
    wanted = {(edge.source, edge.output_field) for edge in edges}
    return [value for value in outputs if (value.source, value.field) in wanted]


def sample_call(tool: ToolSpec, sources: Sources, generator: random.Random) -> PlannedCall | None:
    """Draw a call of `tool`.

    Returns:
        The call, or None if a parameter that must come from an output finds none.
    """
    arguments: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    owners: set[str] = set()
    taken: set[str] = set()
    for name, schema in tool.properties.items():
        bound = name in sources.bound
        drawn = _draw_referable(tool.name, name, schema, sources, generator)
        if drawn is None and bound:
            drawn = _draw_bound(tool.name, name, schema, sources, taken)
            if drawn is None:
                return None
        if drawn is None:
            used = {canonical_json(value) for value in arguments.values()}
            drawn = _draw_free(tool, name, schema, sources, (owners, used), generator)
        if drawn is None:
            continue
        value, origin, owner = drawn
        arguments[name] = value
        origins[f"/{name}"] = origin
        taken.add(canonical_json([origin.call, origin.path]))
        if owner:
            owners.add(owner)
    _order_ranges(arguments, origins)
    return PlannedCall(tool.name, arguments, origins)


_RANGES = (("min", "max"), ("minimum", "maximum"), ("start", "end"), ("lower", "upper"))


def _order_ranges(arguments: dict[str, Any], origins: dict[str, Origin]) -> None:
    """Swap the ends of a range that were drawn the wrong way round."""
    names = {split_identifier(name): name for name in arguments}
    for words, low in names.items():
        for lower, upper in _RANGES:
            high = names.get(tuple(upper if word == lower else word for word in words))
            if high is None or high == low:
                continue
            ends = arguments[low], arguments[high]
            if all(isinstance(end, int | float) for end in ends) and ends[0] > ends[1]:
                arguments[low], arguments[high] = ends[1], ends[0]
                left, right = f"/{low}", f"/{high}"
                origins[left], origins[right] = origins[right], origins[left]


_Drawn = tuple[Any, Origin, str]


def _draw_referable(
    tool: str, name: str, schema: dict[str, Any], sources: Sources, generator: random.Random
) -> _Drawn | None:
    """Take a value that the user can refer to, at the given rate; once refused, none any more.

    What must come from an output is only taken from what was listed: the user can choose there,
    but speaks of no access token "as before".
    """
    if not sources.reference_rate or generator.random() >= sources.reference_rate:
        return None
    origin = Origin(kind="state")
    if sources.doubts.get(doubt_key(tool, name, origin), 0):
        return None
    values = [v for v in sources.referable(name, name in sources.bound) if fits(v, schema)]
    return (generator.choice(values), origin, "") if values else None


def _draw_bound(
    tool: str, name: str, schema: dict[str, Any], sources: Sources, taken: Collection[str]
) -> _Drawn | None:
    """Take the first output that fits this parameter and is not taken by another one."""
    for value in sources.bound[name]:
        place = canonical_json([value.origin.call, value.origin.path])
        if place in taken or exclusion_key(tool, name, value.value) in sources.excluded:
            continue
        if fits(value.value, schema):
            return value.value, value.origin, ""
    return None


def _draw_free(
    tool: ToolSpec,
    name: str,
    schema: dict[str, Any],
    sources: Sources,
    company: tuple[Collection[str], Collection[str]],
    generator: random.Random,
) -> _Drawn | None:
    """Draw from what a user can know; optional parameters are often left out.

    Args:
        tool: Tool to be called.
        name: Parameter to be filled.
        schema: Its JSON Schema.
        sources: Where the value may come from.
        company: Owners and values of the arguments already drawn.
        generator: Seeded generator.
    """
    if name not in tool.required and generator.random() > OPTIONAL_RATE:
        return None
    named, option = _closed_option(schema, generator)
    if named:
        return option, Origin(kind="schema"), ""
    found = [
        (score - DOUBT * sources.doubts.get(doubt_key(tool.name, name, value.origin), 0), value)
        for score, value in candidates(name, schema, sources.known)
        if exclusion_key(tool.name, name, value.value) not in sources.excluded
    ]
    if found:
        chosen = _choose(found, company, generator)
        return chosen.value, chosen.origin, chosen.owner
    if schema_type(schema) == "array":
        drawn = _draw_items(name, schema, sources.known, generator)
        if drawn is not None:
            return drawn, Origin(kind="state"), ""
    named, option = pick_option(schema, generator)
    if named:
        return option, Origin(kind="schema"), ""
    if name not in tool.required:
        return None
    if sources.loose and schema_type(schema) == "string" and not has_form(name, schema):
        texts = [v for v in sources.known if isinstance(v.value, str) and 0 < len(v.value) <= LOOSE]
        texts = [v for v in texts if fits(v.value, schema)]
        if texts:
            chosen = generator.choice(texts)
            return chosen.value, chosen.origin, chosen.owner
    return generate(name, schema, generator), Origin(kind="generated"), ""


def _closed_option(schema: dict[str, Any], generator: random.Random) -> tuple[bool, Any]:
    closed = any("enum" in each or "const" in each for each in [schema, *schema.get("anyOf", ())])
    if closed or schema_type(schema) == "boolean":
        named, option = pick_option(schema, generator)
        return True, option if named else generate("", schema, generator)
    return False, None


def _choose(
    found: Sequence[tuple[float, Value]],
    company: tuple[Collection[str], Collection[str]],
    generator: random.Random,
) -> Value:
    """Prefer values beside ones already drawn (a name and its password), then better names.

    Two parameters of a call get two values: a thing is hardly ever compared with itself.
    """
    owners, used = company
    other = [pair for pair in found if canonical_json(pair[1].value) not in used] or list(found)
    pool = [pair for pair in other if pair[1].owner in owners] or other
    best = max(score for score, _ in pool)
    return generator.choice([value for score, value in pool if score >= best - 0.05])


def _draw_items(
    name: str, schema: dict[str, Any], known: Sequence[Value], generator: random.Random
) -> list[Any] | None:
    items = schema.get("items") or {}
    described = {**items, "description": schema.get("description", "")}
    found = candidates(name, described, known)
    if not found:
        return None
    best = max(score for score, _ in found)
    unique = {canonical_json(v.value): v.value for score, v in found if score >= best - 0.05}
    pool = list(unique.values())
    most = min(len(pool), schema.get("maxItems", 3), 3)
    return generator.sample(pool, generator.randint(1, most)) if most else None
