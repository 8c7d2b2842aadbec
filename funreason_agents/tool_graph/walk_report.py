"""How well directed walks do, against a uniform random walk over the same tools."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Sequence

from funreason_agents.environments.base import Environment, EnvSession
from funreason_agents.environments.execution import execute
from funreason_agents.errors import EnvError
from funreason_agents.schemas.base import Frozen
from funreason_agents.schemas.tools import ExecutedCall, ToolGraph, ToolSpec
from funreason_agents.seeding import derive_seed, rng
from funreason_agents.tool_graph.arguments import Sources, sample_call
from funreason_agents.tool_graph.coverage import plan_target
from funreason_agents.tool_graph.sampler import plan_lookups
from funreason_agents.tool_graph.values import output_values, state_values
from funreason_agents.tool_graph.walk import Walk


class WalkCounts(Frozen):
    """Counts over walks of one kind."""

    started: int = 0
    reached: int = 0
    """Walks in which the target tool succeeded."""
    executed: int = 0
    succeeded: int = 0
    """Calls that the environment did not refuse."""

    @property
    def reach_rate(self) -> float:
        """Walks that reached their target per walk."""
        return self.reached / self.started if self.started else 0.0

    @property
    def success_rate(self) -> float:
        """Calls without an error per call."""
        return self.succeeded / self.executed if self.executed else 0.0

    def plus(self, *, reached: bool, executed: int, succeeded: int) -> WalkCounts:
        """Return the counts with one more walk."""
        return WalkCounts(
            started=self.started + 1,
            reached=self.reached + reached,
            executed=self.executed + executed,
            succeeded=self.succeeded + succeeded,
        )


class WalkReport(Frozen):
    """Directed and uniform walks to the same targets from the same states."""

    environment_id: str
    directed: WalkCounts
    uniform: WalkCounts


def compare_walks(
    environment: Environment, graph: ToolGraph, *, walks: int, seed: int = 0, max_calls: int = 6
) -> WalkReport:
    """Walk to `walks` planned targets, directed and at random, from the same states.

    A uniform walk draws alike from the same tools, has the same argument sampler with all outputs
    and the visible state at hand, and makes as many calls as the directed walk tried, at least
    `max_calls`: so it never has fewer tries.

    Raises:
        EnvError: the environment cannot be opened.
    """
    directed, uniform = WalkCounts(), WalkCounts()
    for index in range(walks):
        target = plan_target(graph.reachable, seed=seed, index=index, turn=0, turns=1, attempt=1)
        session = environment.open(derive_seed(seed, index, "environment"))
        start = session.snapshot()
        walk = _directed(environment, graph, session, target, (seed, index), max_calls)
        reached = any(step.call.name == target for step in walk.done)
        directed = directed.plus(reached=reached, executed=walk.attempted, succeeded=walk.executed)
        session.restore(start)
        tools = [environment.tool(name) for name in graph.reachable]
        length = max(max_calls, walk.attempted)
        steps = _uniform(tools, session, rng(seed, index, "uniform"), length)
        uniform = uniform.plus(
            reached=any(s.call.name == target and not s.result.is_error for s in steps),
            executed=len(steps),
            succeeded=sum(not s.result.is_error for s in steps),
        )
        session.close()
    return WalkReport(environment_id=environment.id, directed=directed, uniform=uniform)


def _directed(
    environment: Environment,
    graph: ToolGraph,
    session: EnvSession,
    target: str,
    key: tuple[int, int],
    max_calls: int,
) -> Walk:
    lookups = rng(*key, "lookups")
    walk = Walk(
        environment=environment,
        graph=graph,
        session=session,
        target=target,
        allowed=frozenset(graph.reachable),
        history=(),
        lookups=plan_lookups(graph, target, lambda: lookups.random() < 0.7),
        generator=rng(*key, "walk"),
        max_calls=max_calls,
    )
    with contextlib.suppress(EnvError):  # counted as not reached, as in a uniform walk
        walk.run()
    return walk


def _uniform(
    tools: Sequence[ToolSpec], session: EnvSession, generator: random.Random, length: int
) -> Sequence[ExecutedCall]:
    steps: list[ExecutedCall] = []
    known = state_values(session.state())
    while len(steps) < length:
        tool = generator.choice(tools)
        sources = Sources(known=[*output_values(steps), *known])
        call = sample_call(tool, sources, generator)
        assert call is not None
        try:
            steps.append(execute(session, call, f"call_{len(steps)}"))
        except EnvError:
            break
    return steps
