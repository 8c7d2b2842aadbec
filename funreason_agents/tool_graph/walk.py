"""Walk to a target: sample, bind, execute for real, learn from refusals."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from funreason_agents.environments.base import Environment, EnvSession
from funreason_agents.environments.execution import PlannedCall, execute
from funreason_agents.schemas.base import canonical_json
from funreason_agents.schemas.tools import ExecutedCall, Origin, ToolEdge, ToolGraph
from funreason_agents.tool_graph.arguments import (
    Sources,
    doubt_key,
    edge_values,
    exclusion_key,
    sample_call,
)
from funreason_agents.tool_graph.sampler import Situation, sample_next, state_ancestors
from funreason_agents.tool_graph.values import Value, output_values, state_values

RETRIES = 10
"""Refusals of one tool after which a walk does without it."""
REDRAWS = 8
"""Draws of arguments that were not tried before."""
RESTARTS = 2
"""How often a walk that came to nothing is begun anew, with other arguments."""
PATIENCE = 2
"""Refusals after which the values from outputs, and then the state, are held to be the cause."""


@dataclass
class Walk:
    """A walk under way, and what it has learnt."""

    environment: Environment
    graph: ToolGraph
    session: EnvSession
    target: str
    allowed: frozenset[str]
    history: Sequence[ExecutedCall]
    """Calls of the earlier turns."""
    lookups: frozenset[tuple[str, str]]
    generator: random.Random
    max_calls: int
    extra_calls: int = 0
    """Random legal calls to add after the target: requests of their own."""
    reference_rate: float = 0.0
    """How often the user goes on with a value that words can refer to."""
    referable: Callable[[str, bool], Sequence[Any]] = lambda _name, _listed: ()
    """The values that words can refer to, by parameter; see `Sources.referable`."""
    on_call: Callable[[ExecutedCall], None] = lambda _step: None

    done: list[ExecutedCall] = field(default_factory=list)
    attempted: int = 0
    executed: int = 0
    """Calls tried, and calls among them that the environment did not refuse."""
    _satisfied: set[str] = field(default_factory=set)
    _revoked: set[str] = field(default_factory=set)
    _dropped: set[str] = field(default_factory=set)
    _excluded: set[str] = field(default_factory=set)
    _doubts: Counter[str] = field(default_factory=Counter)
    _refusals: Counter[str] = field(default_factory=Counter)
    _refused: set[str] = field(default_factory=set)
    """Calls that were refused since the last success: the same again would change nothing."""
    _refused_at_start: set[str] = field(default_factory=set)
    _spent: set[str] = field(default_factory=set)
    """Calls that led nowhere before the last restart: others are tried first."""
    _known: list[Value] = field(default_factory=list)
    _earlier: list[Value] = field(default_factory=list)
    """What the calls of the earlier turns gave."""

    def run(self) -> str | None:
        """Walk until the target and the extra calls are done.

        A walk that comes to nothing is begun anew from the same state, `RESTARTS` times.

        Returns:
            None, or why there is no trace: `"dead_end"`, `"refused"` or `"too_long"`.

        Raises:
            EnvError: the environment broke.
        """
        self._earlier = output_values(self.history, kind="history")
        self._known = [*map(_as_known, self._earlier), *state_values(self.session.state())]
        start = self.session.snapshot()
        for restart in range(RESTARTS + 1):
            if restart:
                self.session.restore(start)
                self._forget()
            looked_up = bool(self.lookups)
            reason = self._walk()
            if reason is None or not (self.done or looked_up):
                break  # without a call to do otherwise, the next walk would be the same
        return reason

    def _forget(self) -> None:
        """Begin anew; what was learnt about arguments is kept, look-ups are not asked for again."""
        self._spent |= {_call_key(step.call.name, step.call.arguments) for step in self.done}
        self.done = []
        self.lookups = frozenset()
        self._refused = set(self._refused_at_start)
        for learnt in (self._revoked, self._dropped, self._refusals):
            learnt.clear()

    def _walk(self) -> str | None:
        self._satisfied = {s.call.name for s in self.history if not s.result.is_error}
        while not self._is_complete():
            if len(self.done) >= self.max_calls:
                return None if self._reached() else "too_long"
            name = sample_next(self._situation(), self.generator)
            call = self._draw(name) if name is not None else None
            if call is None:
                if self._reached():
                    return None
                if not self.lookups:
                    return "dead_end"
                self.lookups = frozenset()  # the user will have to supply these values after all
                continue
            if not self._try(call) and self._refusals[call.name] >= RETRIES:
                if call.name == self.target and not self._reached():
                    return "refused"
                self._dropped.add(call.name)
        return None

    @property
    def asked(self) -> list[int]:
        """Positions of the target and of the extra calls after it."""
        first = next(n for n, step in enumerate(self.done) if step.call.name == self.target)
        return list(range(first, len(self.done)))

    def _reached(self) -> bool:
        return any(step.call.name == self.target for step in self.done)

    def _is_complete(self) -> bool:
        return self._reached() and len(self.asked) > self.extra_calls

    def _situation(self) -> Situation:
        called = [step.call.name for step in self.done]
        # Once the target is reached, the same request again would be no new request.
        allowed = self.allowed - self._dropped - (set(called) if self._reached() else set())
        return Situation(
            graph=self.graph,
            target=self.target,
            allowed=allowed,
            satisfied=self._satisfied,
            called_this_turn=called,
            outputs=self._outputs(),
            looked_up=self.lookups,
            excluded=self._excluded,
            revoked=self._revoked,
        )

    def _outputs(self) -> list[Value]:
        return [*output_values(self.done), *self._earlier]

    def _draw(self, name: str) -> PlannedCall | None:
        groups = self._situation().groups(name).values()
        bound = {
            edges[0].parameter: self._bindable(edges)
            for edges in groups
            if edges[0].parameter is not None
        }
        sources = Sources(
            known=self._known,
            bound=bound,
            excluded=self._excluded,
            doubts=self._doubts,
            loose=self._refusals[name] > 0,
            reference_rate=self.reference_rate,
            referable=self.referable,
        )
        tool = self.environment.tool(name)
        call = sample_call(tool, sources, self.generator)
        for _ in range(REDRAWS):
            if call is None or _call_key(name, call.arguments) not in self._refused | self._spent:
                break
            call = sample_call(tool, sources, self.generator)
        return call

    def _bindable(self, edges: Sequence[ToolEdge]) -> list[Value]:
        """Return the outputs that may fill a parameter; those of earlier turns only if they must.

        Where earlier turns gave several, the user has to say which one is meant.
        """
        values = edge_values(edges, self._outputs())
        # In the order of the calls: the first of two things asked for is the first of the two.
        new = [value for value in values if value.origin.kind == "output"]
        new.sort(key=lambda value: value.origin.call or 0)
        old = [value for value in values if value.origin.kind == "history"]
        if not edges[0].necessary:
            return new
        if len({canonical_json(value.value) for value in old}) > 1:
            old = [_as_known(value) for value in old]
        return [*new, *old]

    def _try(self, call: PlannedCall) -> bool:
        """Execute `call`; on refusal undo it, and learn from it."""
        key = _call_key(call.name, call.arguments)
        if key in self._refused or any(
            _call_key(step.call.name, step.call.arguments) == key for step in self.done
        ):
            self._learn(call)
            return False
        before = self.session.snapshot()
        step = execute(self.session, call, f"call_{len(self.done)}")
        self.attempted += 1
        self.on_call(step)
        self.executed += not step.result.is_error
        if not step.result.is_error and not self._is_idle(step):
            self.done.append(step)
            self._satisfied.add(call.name)
            self._revoked.discard(call.name)
            self._refused.clear()
            return True
        self.session.restore(before)
        self._refused.add(key)
        if not self.done:
            self._refused_at_start.add(key)
        self._learn(call)
        return False

    def _is_idle(self, step: ExecutedCall) -> bool:
        """Return whether a call that should change something did not, and may be tried again."""
        changes = step.call.name in self.graph.writes
        tried = self._refusals[step.call.name]
        return changes and step.state_before == step.state_after and tried <= PATIENCE

    def _learn(self, call: PlannedCall) -> None:
        self._refusals[call.name] += 1
        refusals = self._refusals[call.name]
        for pointer, origin in call.origins.items():
            self._doubts[doubt_key(call.name, pointer[1:], origin)] += 1
        if refusals >= PATIENCE:
            self._exclude(call)
        if refusals == PATIENCE + 1:
            # An error shows that what once held no longer does: after logout, login must be redone.
            lost = state_ancestors(self.graph, call.name)
            self._satisfied -= lost
            self._revoked |= lost
            self._refused.clear()

    def _exclude(self, call: PlannedCall) -> None:
        for pointer, origin in call.origins.items():
            if origin.kind in ("output", "history"):
                parameter = pointer[1:]
                key = exclusion_key(call.name, parameter, call.arguments[parameter])
                self._excluded.add(key)


def _call_key(name: str, arguments: dict[str, Any]) -> str:
    return canonical_json([name, arguments])


def _as_known(value: Value) -> Value:
    """Return a value of an earlier turn as one that the user states."""
    return replace(value, origin=Origin(kind="state", path=value.origin.path))
