"""Build the tool graph of an environment: declared, schema and probed evidence together."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

from funreason_agents.environments.base import Environment
from funreason_agents.environments.execution import PlannedCall
from funreason_agents.schemas.base import pointer_field
from funreason_agents.schemas.tools import Evidence, ToolEdge, ToolGraph, ToolSpec
from funreason_agents.schemas.words import match_field
from funreason_agents.tool_graph.probe import Observations, probe
from funreason_agents.tool_graph.values import fits, schema_type

SCHEMA_MATCH = 0.72
"""Least score of `match_field` for an edge that no probe has confirmed."""

_built: weakref.WeakKeyDictionary[Environment, ToolGraph] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def tool_graph_of(environment: Environment) -> ToolGraph:
    """Return the tool graph of `environment`, built by probing when first asked for.

    Raises:
        EnvError: the environment cannot be opened.
    """
    with _lock:
        graph = _built.get(environment)
        if graph is None:
            graph = _built[environment] = build_tool_graph(environment, probe(environment))
        return graph


def build_tool_graph(environment: Environment, seen: Observations) -> ToolGraph:
    """Turn observations into a graph."""
    edges: dict[tuple[str, str, str], ToolEdge] = {}
    for edge in (
        *_declared_edges(environment),
        *_provides_edges(environment, seen),
        *_requires_edges(environment, seen),
    ):
        key = (edge.source, edge.target, f"{edge.group}/{edge.output_field}")
        known = edges.get(key)
        if known is None:
            edges[key] = edge
        else:
            evidence = (*known.evidence, *(e for e in edge.evidence if e not in known.evidence))
            edges[key] = known.model_copy(update={"evidence": evidence})
    names = tuple(tool.name for tool in environment.tools)
    return ToolGraph(
        environment_id=environment.id,
        tools=names,
        edges=tuple(sorted(edges.values(), key=lambda e: (e.target, e.group, e.source))),
        writes=tuple(name for name in names if name in seen.writes),
        unreachable={
            name: seen.broken.get(name) or seen.errors.get(name, "never called")
            for name in names
            if name in seen.broken or not seen.recipes.get(name)
        },
    )


def _declared_edges(environment: Environment) -> Iterator[ToolEdge]:
    names = {tool.name for tool in environment.tools}
    for tool in environment.tools:
        for source in tool.requires:
            if source in names:
                yield ToolEdge(
                    source=source,
                    target=tool.name,
                    kind="requires",
                    evidence=("declared",),
                    group=f"requires {source}",
                )


def _provides_edges(environment: Environment, seen: Observations) -> Iterator[ToolEdge]:
    """Edges along which a value flows: seen in a recipe (probed), or fitting by name (schema)."""
    for tool in environment.tools:
        recipes = seen.recipes_of(tool.name)
        for parameter, schema in tool.properties.items():
            flows = [_flow(recipe.calls, parameter) for recipe in recipes]
            necessary = (
                bool(flows)
                and None not in flows
                and parameter in tool.required
                and (tool.name, parameter) not in seen.stated
            )
            probed = {flow for flow in flows if flow is not None and flow[0] != tool.name}
            # Where a value must come from an output, only those that were seen to work count.
            fitting = (
                set() if necessary and probed else _schema_flows(tool, schema, parameter, seen)
            )
            for source, field in sorted(probed | fitting):
                if not necessary and not _is_worth_a_lookup(tool, parameter, source, seen):
                    continue
                evidence: tuple[Evidence, ...] = (
                    ("probed",) if (source, field) in probed else ("schema",)
                )
                yield ToolEdge(
                    source=source,
                    target=tool.name,
                    kind="provides",
                    evidence=evidence,
                    group=f"provides {parameter}",
                    output_field=field,
                    parameter=parameter,
                    necessary=necessary,
                )


def _is_worth_a_lookup(tool: ToolSpec, parameter: str, source: str, seen: Observations) -> bool:
    """Return whether a request can imply that a value is fetched which a user could also state.

    Only if the tool looks the value up in its world, and fetching it changes nothing there.
    """
    checked = (tool.name, parameter) in seen.looked_up
    return checked and source not in seen.writes and refers(parameter, tool.properties[parameter])


def _flow(recipe: Sequence[PlannedCall], parameter: str) -> tuple[str, str] | None:
    origin = recipe[-1].origins.get(f"/{parameter}")
    if origin is None or origin.kind != "output" or origin.call is None:
        return None
    return recipe[origin.call].name, pointer_field(origin.path or "")


def _schema_flows(
    tool: ToolSpec, schema: dict[str, Any], parameter: str, seen: Observations
) -> set[tuple[str, str]]:
    if not refers(parameter, schema):
        return set()
    told = schema.get("description", "")
    return {
        (source, value.field)
        for source, values in seen.given.items()
        if source != tool.name
        for value in values
        if match_field(parameter, told, value.field, value.container) >= SCHEMA_MATCH
        and fits(value.value, schema)
    }


def refers(parameter: str, schema: dict[str, Any]) -> bool:
    """Return whether a parameter names a thing, rather than being a quantity or a choice.

    Only such a parameter is worth a look-up: a text, or a whole number called an id or number.
    """
    options = [schema, *schema.get("anyOf", ())]
    if any("enum" in each or "const" in each for each in options):
        return False
    kind = schema_type(schema)
    if kind == "integer":
        return parameter.lower().endswith(("id", "number", "code", "no"))
    return kind in ("string", "array")


def _requires_edges(environment: Environment, seen: Observations) -> Iterator[ToolEdge]:
    """Edges of state preconditions: calls that a recipe needs though no value of theirs flows.

    What only some recipes needed, or what makes a tool work again, is not necessary: in some
    states it holds already.
    """
    for tool in environment.tools:
        recipes = seen.recipes_of(tool.name)
        if not recipes:
            continue
        needs = [recipe.needs for recipe in recipes]
        always = frozenset.intersection(*needs)
        for source in sorted(always):
            yield _requires(source, tool.name, f"requires {source}")
        rest = [need - always for need in needs]
        others = sorted(frozenset.union(*rest))
        if all(rest):
            for source in others:
                yield _requires(source, tool.name, "requires any of " + ", ".join(others))
            continue
        at_times = {n for recipe in recipes for n in recipe.needs - always - recipe.coupled}
        at_times |= {source for source, target in seen.restorers if target == tool.name}
        for source in sorted(at_times - always - {tool.name}):
            yield _requires(source, tool.name, f"requires {source} at times", necessary=False)


def _requires(source: str, target: str, group: str, *, necessary: bool = True) -> ToolEdge:
    return ToolEdge(
        source=source,
        target=target,
        kind="requires",
        evidence=("probed",),
        group=group,
        necessary=necessary,
    )
