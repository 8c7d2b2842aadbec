"""Dynamic legality (paper, equation 1) and the directed sampler (equation 2)."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import networkx as nx

from funreason_agents.schemas.tools import ToolEdge, ToolGraph
from funreason_agents.tool_graph.arguments import edge_values, exclusion_key
from funreason_agents.tool_graph.values import Value

Groups = dict[str, tuple[ToolEdge, ...]]


def to_networkx(graph: ToolGraph) -> nx.DiGraph[str]:
    """Return the graph with tools as nodes and "needs first" edges."""
    result: nx.DiGraph[str] = nx.DiGraph()
    result.add_nodes_from(graph.tools)
    result.add_edges_from((edge.source, edge.target) for edge in graph.edges)
    return result


@dataclass(frozen=True)
class Situation:
    """What the sampler decides on: everything that earlier calls established."""

    graph: ToolGraph
    target: str
    allowed: Collection[str]
    """Tools that may be called at all."""
    satisfied: Collection[str]
    """Tools that succeeded in this session and were not revoked (equation 1)."""
    called_this_turn: Sequence[str]
    """Tools called since the turn began (equation 2)."""
    outputs: Sequence[Value]
    """Values of successful calls, latest first."""
    looked_up: Collection[tuple[str, str]] = frozenset()
    """(tool, parameter) pairs that are to be looked up although a user could supply them."""
    excluded: Collection[str] = field(default_factory=frozenset)
    """Values that a tool refused (`exclusion_key`)."""
    revoked: Collection[str] = frozenset()
    """Tools whose effect may not hold: an error gave reason to doubt it."""

    def groups(self, tool: str) -> Groups:
        """Return the prerequisite groups of `tool` that hold in this turn."""
        return {
            group: edges
            for group, edges in self.graph.groups(tool, optional=True).items()
            if any(
                e.necessary
                or (tool, e.parameter) in self.looked_up
                or (e.kind == "requires" and e.source in self.revoked)
                for e in edges
            )
        }

    def unmet(self, tool: str) -> Groups:
        """Return the groups of `tool` that are not met: equation 1 asks that there are none."""
        taken: set[str] = set()
        missing = {}
        for group, edges in self.groups(tool).items():
            if edges[0].kind == "requires":
                met = any(edge.source in self.satisfied for edge in edges)
            else:
                met = self._take_value(tool, edges, taken)
            if not met:
                missing[group] = edges
        return missing

    def is_legal(self, tool: str) -> bool:
        """Equation 1: every prerequisite group of `tool` is met."""
        return tool in self.allowed and not self.unmet(tool)

    def _take_value(self, tool: str, edges: Sequence[ToolEdge], taken: set[str]) -> bool:
        """Reserve a value for one parameter, so that two parameters need two values."""
        for value in edge_values(edges, self.outputs):
            if value.origin.kind == "history" and not edges[0].necessary:
                continue  # a look-up is worth asking for only if it is made in this turn
            place = f"{value.source}{value.origin.call}{value.origin.kind}{value.origin.path}"
            refused = exclusion_key(tool, edges[0].parameter or "", value.value)
            if place not in taken and refused not in self.excluded:
                taken.add(place)
                return True
        return False


def sample_next(situation: Situation, generator: random.Random) -> str | None:
    """Return the next tool to call (equation 2), or None at a dead end.

    The third branch ranges over legal tools that serve an unmet group of the target, or of one
    of the tools that could serve it; so a tool may be called twice for two parameters, and
    interchangeable providers are not all called. Of those equally near, a tool that only reads
    is taken before one that changes the state: no request implies a change that is not needed.
    """
    target = situation.target
    if target in situation.called_this_turn:
        legal = sorted(t for t in situation.allowed if situation.is_legal(t))
        return generator.choice(legal) if legal else None
    if situation.is_legal(target):
        return target
    serving = [tool for tool in _serving(situation, target) if situation.is_legal(tool)]
    if not serving:
        return None
    needed_by = to_networkx(situation.graph).reverse(copy=False)
    distances = nx.single_source_shortest_path_length(needed_by, target)
    writes = set(situation.graph.writes)
    ranks = {tool: (distances[tool], tool in writes) for tool in serving}
    best = min(ranks.values())
    return generator.choice(sorted(tool for tool, rank in ranks.items() if rank == best))


def _serving(situation: Situation, target: str) -> Iterator[str]:
    """Yield the tools that serve an unmet group of `target`, or of one of those tools in turn."""
    pending, seen = [target], {target}
    while pending:
        tool = pending.pop()
        for edges in situation.unmet(tool).values():
            for source in sorted({edge.source for edge in edges} & set(situation.allowed)):
                yield source
                if source not in seen:
                    seen.add(source)
                    pending.append(source)


def state_ancestors(graph: ToolGraph, tool: str) -> set[str]:
    """Return the tools whose effect `tool` may rest on, directly or not.

    An effect that is only needed in some states is no reason to doubt what that tool needs.
    """
    found: set[str] = set()
    pending, seen = [tool], {tool}
    while pending:
        current = pending.pop()
        for edges in graph.groups(current, optional=current == tool).values():
            for edge in edges:
                if edge.kind == "requires":
                    found.add(edge.source)
                if edge.necessary and edge.source not in seen:
                    seen.add(edge.source)
                    pending.append(edge.source)
    return found


def plan_lookups(
    graph: ToolGraph, target: str, is_drawn: Callable[[], bool]
) -> frozenset[tuple[str, str]]:
    """Draw which parameters of `target` are looked up although a user could supply them."""
    groups = graph.groups(target, optional=True).values()
    parameters = sorted(
        {e.parameter for edges in groups for e in edges if e.parameter and not e.necessary}
    )
    return frozenset((target, parameter) for parameter in parameters if is_drawn())
