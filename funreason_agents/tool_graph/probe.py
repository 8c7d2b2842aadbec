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
from types import NoneType
from typing import Any

from funreason_agents.environments.base import Environment, EnvSession, Snapshot
from funreason_agents.environments.execution import PlannedCall, execute, keep_calls, to_plan
from funreason_agents.errors import EnvError
from funreason_agents.schemas.base import canonical_json, iterate_leaves
from funreason_agents.schemas.tools import ExecutedCall, ToolSpec
from funreason_agents.seeding import rng
from funreason_agents.tool_graph.arguments import Sources, candidates, sample_call
from funreason_agents.tool_graph.counter_probe import (
    INVENTED_TRIES,
    can_be_stated,
    data_ancestors,
    find_restorers,
    is_looked_up,
    run_plan,
)
from funreason_agents.tool_graph.values import Value, call_values, state_values

PROBE_SEEDS = (101, 202, 303)
RECIPES = 4
"""Recipes kept per tool."""
WALKS = 24
"""Most walks per seed; the probes end sooner once every tool has its recipes."""
PATIENCE = 2
"""How many times `IDLE_WALKS`, at the last seed, while some tool has not succeeded yet."""
LOOSE_RATE = 0.5
"""How often a tool that refused is given any known text where none fits by name."""
FREE_TRIES = 8
"""Calls that are tried to find out whether a tool also works on what was there before."""
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
    changes: bool = False
    """Whether the last call changed the state."""

    @property
    def coupled(self) -> frozenset[str]:
        """The tools among `needs` that are about the same thing: they share a value with it."""
        last = len(self.calls) - 1
        shared = self._told(last)
        return self.needs & {self.calls[n].name for n in range(last) if self._told(n) & shared}

    def _told(self, position: int) -> set[str]:
        """Return the values that led to a call, through the calls whose outputs it used."""
        led = data_ancestors(self.calls, position)
        return {value for number in led for value in _told(self.calls[number])}


def _told(call: PlannedCall) -> set[str]:
    leaves = (leaf for _, leaf in iterate_leaves(call.arguments))
    return {canonical_json(leaf) for leaf in leaves if not isinstance(leaf, bool | NoneType)}


@dataclass
class Observations:
    """What the probes saw."""

    recipes: dict[str, list[Recipe]] = field(default_factory=dict)
    successes: Counter[str] = field(default_factory=Counter)
    outputs: dict[str, list[Any]] = field(default_factory=dict)
    """Sampled result contents per tool."""
    given: dict[str, list[Value]] = field(default_factory=dict)
    """Sampled values per tool that a later call may use."""
    writes: set[str] = field(default_factory=set)
    errors: dict[str, str] = field(default_factory=dict)
    """Last error per tool."""
    broken: dict[str, str] = field(default_factory=dict)
    """Tools that hung or crashed; they are not called again."""
    stated: set[tuple[str, str]] = field(default_factory=set)
    """(tool, parameter) pairs that also take a value from the visible state."""
    looked_up: set[tuple[str, str]] = field(default_factory=set)
    """(tool, parameter) pairs whose value the tool looks up in its world."""
    restorers: set[tuple[str, str]] = field(default_factory=set)
    """(tool, tool that works again after it) pairs."""
    effects: Counter[str] = field(default_factory=Counter)
    """Successes that changed the state, per tool."""
    invented: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Recipes in which a parameter's value was replaced by an invented one."""

    def recipes_of(self, tool: str) -> list[Recipe]:
        """Return the recipes of `tool` that tell what it needs.

        Of a tool that can change something, those that did; and none that first made the very
        thing that it then used, if others did without.
        """
        found = self.recipes.get(tool, [])
        changing = [recipe for recipe in found if recipe.changes] or found
        return [recipe for recipe in changing if not recipe.coupled] or changing


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
        old = {name: len(recipes) for name, recipes in seen.recipes.items()}
        idle = 0
        for _ in range(WALKS):
            wanted = _count_wanted(environment, seen, share)
            never = any(not seen.successes[tool.name] for tool in environment.tools)
            patience = PATIENCE if never and seed == seeds[-1] else 1
            if wanted == 0 or idle >= IDLE_WALKS * patience:
                break
            session = _walk(environment, session, start, known, seen, generator)
            idle = 0 if _count_wanted(environment, seen, share) < wanted else idle + 1
        new = {name: recipes[old.get(name, 0) :] for name, recipes in seen.recipes.items()}
        plans = {name: [r.calls for r in found] for name, found in new.items() if found}
        tools = {tool.name: tool for tool in environment.tools}
        seen.restorers |= find_restorers(session, start, plans, seen.writes, tools, known)
        session.close()
    return seen


def _find_uncoupled(
    session: EnvSession,
    start: Snapshot,
    recipe: Recipe,
    tool: ToolSpec,
    known: Sequence[Value],
    generator: random.Random,
) -> Recipe | None:
    """Find a recipe that does without what its needs made: some file, not one just created."""
    plan = recipe.calls
    rest = [n for n, call in enumerate(plan[:-1]) if call.name not in recipe.coupled]
    before = keep_calls(plan, rest)
    if before is None:
        return None
    for _ in range(FREE_TRIES):
        call = sample_call(tool, Sources(known=known, loose=True), generator)
        if call is None:
            return None
        outcome = run_plan(session, start, [*before, call], watched=recipe.changes)
        if outcome.refused_at is None and (outcome.changed or not recipe.changes):
            return Recipe((*before, call), recipe.needs - recipe.coupled, recipe.changes)
    return None


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
        loose = tool.name in seen.errors and generator.random() < LOOSE_RATE
        call = _draw_call(tool, outputs, known, generator, loose=loose)
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
        changed = step.state_before != step.state_after
        if seen.successes[tool.name] <= RECIPES or (changed and seen.effects[tool.name] <= RECIPES):
            found.append(list(walk))
    for steps in found:
        _note_recipe(environment, session, start, steps, known, seen, generator)
    session.restore(start)
    return session


def _note_recipe(
    environment: Environment,
    session: EnvSession,
    start: Snapshot,
    steps: Sequence[ExecutedCall],
    known: Sequence[Value],
    seen: Observations,
    generator: random.Random,
) -> None:
    """Minimise a walk to the recipe of its last call, and question what the recipe shows."""
    last = steps[-1]
    changes = last.state_before != last.state_after
    calls = _minimise(session, start, steps)
    if calls is None:
        return
    recipe = Recipe(tuple(calls), _find_needs(session, start, calls, changes=changes), changes)
    tool = environment.tool(last.call.name)
    found = seen.recipes.setdefault(tool.name, [])
    found.append(recipe)
    if recipe.coupled:
        simpler = _find_uncoupled(session, start, recipe, tool, known, generator)
        found += [simpler] if simpler is not None else []
    for parameter in calls[-1].arguments:
        pair = (tool.name, parameter)
        origin = calls[-1].origins.get(f"/{parameter}")
        if (
            origin is not None
            and origin.kind == "output"
            and pair not in seen.stated
            and can_be_stated(session, start, calls, tool, parameter, known)
        ):
            seen.stated.add(pair)
        if pair not in seen.looked_up and seen.invented[pair] < INVENTED_TRIES:
            seen.invented[pair] += 1
            if is_looked_up(session, start, calls, tool, parameter, last.result.content):
                seen.looked_up.add(pair)


def _pick_tool(
    environment: Environment, seen: Observations, generator: random.Random
) -> ToolSpec | None:
    usable = [tool for tool in environment.tools if tool.name not in seen.broken]
    if not usable:
        return None
    weights = [4.0 / (1 + seen.successes[tool.name]) ** 2 + 0.5 for tool in usable]
    return generator.choices(usable, weights)[0]


def _draw_call(
    tool: ToolSpec,
    outputs: Sequence[Value],
    known: Sequence[Value],
    generator: random.Random,
    *,
    loose: bool,
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
    drawn = sample_call(tool, Sources(known=known, bound=bound, loose=loose), generator)
    if drawn is None:
        drawn = sample_call(tool, Sources(known=known, loose=loose), generator)
    assert drawn is not None
    return drawn


def _note_success(step: ExecutedCall, seen: Observations) -> None:
    seen.successes[step.call.name] += 1
    samples = seen.outputs.setdefault(step.call.name, [])
    if len(samples) < 2 * RECIPES:
        samples.append(step.result.content)
        seen.given.setdefault(step.call.name, []).extend(call_values(step, 0))
    if step.state_before != step.state_after:
        seen.writes.add(step.call.name)
        seen.effects[step.call.name] += 1


def _error_text(step: ExecutedCall) -> str:
    content = step.result.content
    return str(content.get("error", content) if isinstance(content, dict) else content)


def _minimise(
    session: EnvSession, start: Snapshot, steps: Sequence[ExecutedCall]
) -> list[PlannedCall] | None:
    """Return the smallest plan found in which the last call still succeeds, or None.

    Succeeding is to have an effect too, if it had one: a logout needs a login, even where the
    tool does not mind.
    """
    plan = to_plan(steps)
    changes = steps[-1].state_before != steps[-1].state_after
    slim = sorted(data_ancestors(plan, len(plan) - 1))
    writers = [n for n, step in enumerate(steps) if step.state_before != step.state_after]
    kept = slim
    if not _succeeds(session, start, plan, slim, changes=changes):
        kept = sorted({*slim, *(a for n in writers for a in data_ancestors(plan, n))})
        if not _succeeds(session, start, plan, kept, changes=changes):
            return None
    for position in reversed(kept[:-1]):
        fewer = [n for n in kept if n != position]
        if position in kept and _succeeds(session, start, plan, fewer, changes=changes):
            kept = fewer
    return keep_calls(plan, kept)


def _find_needs(
    session: EnvSession, start: Snapshot, plan: Sequence[PlannedCall], *, changes: bool
) -> frozenset[str]:
    """Leave out each earlier call in turn: which one makes the last call fail, and only it?"""
    last = len(plan) - 1
    needs = set()
    for position in range(last):
        shorter = keep_calls(plan, [n for n in range(last + 1) if n != position])
        if shorter is None:
            continue
        outcome = run_plan(session, start, shorter, watched=changes)
        idle = outcome.refused_at is None and changes and not outcome.changed
        if outcome.refused_at == last - 1 or idle:
            needs.add(plan[position].name)
    return frozenset(needs)


def _succeeds(
    session: EnvSession,
    start: Snapshot,
    plan: Sequence[PlannedCall],
    kept: Sequence[int],
    *,
    changes: bool,
) -> bool:
    shorter = keep_calls(plan, kept)
    if shorter is None:
        return False
    outcome = run_plan(session, start, shorter, watched=changes)
    return outcome.refused_at is None and (outcome.changed or not changes)
