"""Find out by execution what each tool needs first, what it gives, and whether it writes.

Plain tools declare nothing and have no output schema. So seeded walks execute them in fresh
sessions; whenever a tool succeeds, the walk up to there is minimised by re-execution, and what
is left is the tool's recipe: what it really needed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from funreason_agents.environments.base import Environment, EnvSession, Snapshot
from funreason_agents.environments.execution import (
    PlannedCall,
    execute,
    fill_outputs,
    keep_calls,
    to_plan,
)
from funreason_agents.errors import EnvError
from funreason_agents.schemas.tools import ExecutedCall, ToolCall, ToolSpec
from funreason_agents.seeding import rng
from funreason_agents.tool_graph.arguments import Sources, candidates, sample_call
from funreason_agents.tool_graph.values import Value, call_values, state_values

PROBE_SEEDS = (101, 202, 303)
RECIPES = 4
"""Recipes kept per tool."""
WALKS = 24
"""Most walks per seed; the probes end sooner once every tool has its recipes."""
IDLE_WALKS = 5
"""Walks in a row without a success that was still wanted, after which a seed has told its all."""
CALLS_PER_TOOL = 2
"""Length of a walk, per tool; at least `WALK_LENGTH`."""
WALK_LENGTH = 40
BOUND_RATE = 0.75
"""How often a parameter takes a fitting output rather than what a user could know."""


@dataclass(frozen=True)
class Recipe:
    """A minimised plan whose last call is the tool's own."""

    calls: tuple[PlannedCall, ...]
    needs: frozenset[str]
    """Tools without whose call the last one is refused, though no value of theirs flows."""


@dataclass
class Observations:
    """What the probes saw."""

    recipes: dict[str, list[Recipe]] = field(default_factory=dict)
    successes: Counter[str] = field(default_factory=Counter)
    outputs: dict[str, list[Any]] = field(default_factory=dict)
    """Sampled result contents per tool."""
    writes: set[str] = field(default_factory=set)
    errors: dict[str, str] = field(default_factory=dict)
    """Last error per tool."""
    broken: dict[str, str] = field(default_factory=dict)
    """Tools that hung or crashed; they are not called again."""


def probe(environment: Environment, *, seeds: Sequence[int] = PROBE_SEEDS) -> Observations:
    """Walk over all tools in fresh sessions and return what was seen.

    The result is a function of the environment and `seeds` alone. Costs at most `WALKS` walks per
    seed, plus the minimisation of `RECIPES` recipes per tool.

    Raises:
        EnvError: the environment cannot be opened.
    """
    seen = Observations()
    for number, seed in enumerate(seeds):
        generator = rng("probe", environment.id, seed)
        session = environment.open(seed)
        start = session.snapshot()
        known = state_values(session.state())
        share = max(1, RECIPES * (number + 1) // len(seeds))
        idle = 0
        for _ in range(WALKS):
            wanted = _count_wanted(environment, seen, share)
            if wanted == 0 or idle >= IDLE_WALKS:
                break
            session = _walk(environment, session, start, known, seen, generator)
            idle = 0 if _count_wanted(environment, seen, share) < wanted else idle + 1
        session.close()
    return seen


def _count_wanted(environment: Environment, seen: Observations, share: int) -> int:
    """Return how many successes are still wanted, if each tool is to have `share` of them."""
    return sum(
        max(0, share - seen.successes[tool.name])
        for tool in environment.tools
        if tool.name not in seen.broken
    )


def _walk(
    environment: Environment,
    session: EnvSession,
    start: Snapshot,
    known: Sequence[Value],
    seen: Observations,
    generator: random.Random,
) -> EnvSession:
    """Walk once from the seed; returns a session that is at the seed's state again."""
    session.restore(start)
    walk: list[ExecutedCall] = []
    outputs: list[Value] = []
    found: list[list[ExecutedCall]] = []
    for _ in range(max(WALK_LENGTH, CALLS_PER_TOOL * len(environment.tools))):
        tool = _pick_tool(environment, seen, generator)
        if tool is None:
            break
        call = _draw_call(tool, outputs, known, generator)
        try:
            step = execute(session, call, f"call_{len(walk)}")
        except EnvError as exc:
            seen.broken[tool.name] = str(exc)
            session.close()
            session = environment.open(start.seed)
            break
        if step.result.is_error:
            seen.errors[tool.name] = _error_text(step)
            continue
        _note_success(step, seen)
        outputs = [*call_values(step, len(walk)), *outputs]
        walk.append(step)
        if seen.successes[tool.name] <= RECIPES:
            found.append(list(walk))
    for steps in found:
        calls = _minimise(session, start, steps)
        if calls is not None:
            recipe = Recipe(tuple(calls), _find_needs(session, start, calls))
            seen.recipes.setdefault(steps[-1].call.name, []).append(recipe)
    session.restore(start)
    return session


def _pick_tool(
    environment: Environment, seen: Observations, generator: random.Random
) -> ToolSpec | None:
    usable = [tool for tool in environment.tools if tool.name not in seen.broken]
    if not usable:
        return None
    weights = [4.0 / (1 + seen.successes[tool.name]) ** 2 + 0.5 for tool in usable]
    return generator.choices(usable, weights)[0]


def _draw_call(
    tool: ToolSpec, outputs: Sequence[Value], known: Sequence[Value], generator: random.Random
) -> PlannedCall:
    bound = {}
    for name, schema in tool.properties.items():
        if name not in tool.required or generator.random() > BOUND_RATE:
            continue
        fitting = candidates(name, schema, outputs)
        if fitting:
            best = max(score for score, _ in fitting)
            pool = [value for score, value in fitting if score >= best - 0.2]
            generator.shuffle(pool)
            bound[name] = pool
    drawn = sample_call(tool, Sources(known=known, bound=bound), generator)
    if drawn is None:
        drawn = sample_call(tool, Sources(known=known), generator)
    assert drawn is not None
    return drawn


def _note_success(step: ExecutedCall, seen: Observations) -> None:
    seen.successes[step.call.name] += 1
    samples = seen.outputs.setdefault(step.call.name, [])
    if len(samples) < 2 * RECIPES:
        samples.append(step.result.content)
    if step.state_before != step.state_after:
        seen.writes.add(step.call.name)


def _error_text(step: ExecutedCall) -> str:
    content = step.result.content
    return str(content.get("error", content) if isinstance(content, dict) else content)


def _minimise(
    session: EnvSession, start: Snapshot, steps: Sequence[ExecutedCall]
) -> list[PlannedCall] | None:
    """Return the smallest plan found in which the last call still succeeds, or None."""
    plan = to_plan(steps)
    slim = sorted(data_ancestors(plan, len(plan) - 1))
    writers = [n for n, step in enumerate(steps) if step.state_before != step.state_after]
    kept = slim
    if not _succeeds(session, start, plan, slim):
        kept = sorted({*slim, *(a for n in writers for a in data_ancestors(plan, n))})
        if not _succeeds(session, start, plan, kept):
            return None
    for position in reversed(kept[:-1]):
        fewer = [n for n in kept if n != position]
        if position in kept and _succeeds(session, start, plan, fewer):
            kept = fewer
    return keep_calls(plan, kept)


def _find_needs(
    session: EnvSession, start: Snapshot, plan: Sequence[PlannedCall]
) -> frozenset[str]:
    """Leave out each earlier call in turn: which one makes the last call fail, and only it?"""
    last = len(plan) - 1
    needs = set()
    for position in range(last):
        shorter = keep_calls(plan, [n for n in range(last + 1) if n != position])
        if shorter is not None and first_refusal(session, start, shorter) == last - 1:
            needs.add(plan[position].name)
    return frozenset(needs)


def data_ancestors(plan: Sequence[PlannedCall], position: int) -> set[int]:
    """Return `position` and every call whose output it uses, directly or not."""
    found = {position}
    for number in range(position, -1, -1):
        if number in found:
            found |= plan[number].providers
    return found


def _succeeds(
    session: EnvSession, start: Snapshot, plan: Sequence[PlannedCall], kept: Sequence[int]
) -> bool:
    shorter = keep_calls(plan, kept)
    return shorter is not None and first_refusal(session, start, shorter) is None


def first_refusal(session: EnvSession, start: Snapshot, plan: Sequence[PlannedCall]) -> int | None:
    """Execute `plan` from `start`; return the position of the first call refused, if any."""
    session.restore(start)
    done: list[ExecutedCall] = []
    for number, planned in enumerate(plan):
        filled = fill_outputs(planned, done)
        if filled is None:
            return number
        call = ToolCall(id=f"call_{number}", name=filled.name, arguments=filled.arguments)
        result = session.call(call)
        if result.is_error:
            return number
        done.append(ExecutedCall(call=call, result=result, state_before="", state_after=""))
    return None
