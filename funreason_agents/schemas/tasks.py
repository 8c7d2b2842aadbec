"""From an executed call trace to the task that a turn sets: the middle of the data flow."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from funreason_agents.schemas.base import Frozen, content_hash
from funreason_agents.schemas.tools import ExecutedCall, ToolSpec

HardTurnKind = Literal[
    "missing_function",
    "missing_parameter",
    "long_context",
    "parallel_calls",
    "irrelevance",
    "error_recovery",
]
TurnKind = Literal["plain", HardTurnKind]


class CallTrace(Frozen):
    """The calls that were executed for one turn: its gold answer, minimised by re-execution.

    A trace without calls is the gold answer where nothing may be called.
    """

    environment_id: str
    seed: int
    """Seed of the environment session."""
    target: str
    """The tool that the turn is meant to exercise; empty where nothing may be called."""
    state_before: str
    """State hash before the first call."""
    calls: tuple[ExecutedCall, ...] = ()
    requests: tuple[int, ...] = ()
    """Positions of the calls that the user asks for; all others only serve one of these."""
    mistake: ExecutedCall | None = None
    """A plausible call at the start of the turn that the world refuses (error and recovery)."""

    @property
    def id(self) -> str:
        """Content hash of the trace."""
        return content_hash(self.to_json())

    @property
    def state_after(self) -> str:
        """State hash after the last call."""
        return self.calls[-1].state_after if self.calls else self.state_before

    @property
    def tool_names(self) -> tuple[str, ...]:
        """Names of the called tools, in order."""
        return tuple(step.call.name for step in self.calls)


class OuterInput(Frozen):
    """A value that the user must supply, under the words a user would call it by."""

    label: str
    description: str = ""
    value: Any
    reference: str | None = None
    """Words that stand for the value, such as "the same city as before"."""


class AdvancedTool(Frozen):
    """The composite that hides a call trace's inner steps (paper, equation 3).

    Two texts that must not mix: `description` is for the querying agent and shows the outer
    effect only; `composition` is the reasoner's first hint and holds tool names without values.
    """

    name: str
    description: str
    inputs: tuple[OuterInput, ...] = ()
    output: str = ""
    composition: tuple[str, ...]

    @property
    def id(self) -> str:
        """Content hash of the advanced tool."""
        return content_hash(self.to_json())


TWO_PARTS: frozenset[HardTurnKind] = frozenset({"missing_function", "missing_parameter"})
"""The kinds whose turn takes two messages of the user."""
_OWN_FIELDS: dict[str, HardTurnKind] = {
    "function": "missing_function",
    "omitted": "missing_parameter",
    "filler": "long_context",
    "foreign": "irrelevance",
}
"""The field that one kind alone has, and cannot do without."""


class HardTurn(Frozen):
    """What makes a turn hard, with all that a reader needs to check it again."""

    kind: HardTurnKind
    part: Literal[1, 2] = 1
    """Missing function, missing parameter: 1 is the request that lacks it, 2 what completes it."""
    function: str | None = None
    """Missing function: the tool that is not offered in part 1."""
    omitted: OuterInput | None = None
    """Missing parameter: what the user leaves out in part 1 and supplies in part 2."""
    filler: str = ""
    """Long context: text in the query that has nothing to do with the request."""
    distractors: tuple[ToolSpec, ...] = ()
    """Long context: tools that are offered beside the environment's own and never needed."""
    foreign: ToolSpec | None = None
    """Irrelevance: the tool that the request would take; the environment has nothing like it."""

    @model_validator(mode="after")
    def _require_fit(self) -> Self:
        misfits = self.find_misfits()
        if misfits:
            raise ValueError("; ".join(misfits))
        return self

    def find_misfits(self) -> list[str]:
        """Return the fields that belong to another kind, and those that this kind lacks.

        A field of another kind would loosen a check that has nothing to do with it.
        """
        problems = [
            f"{field!r} is {'set' if getattr(self, field) else 'not set'}"
            f" in a turn of kind {self.kind!r}"
            for field, kind in _OWN_FIELDS.items()
            if bool(getattr(self, field)) is not (self.kind == kind)
        ]
        if self.distractors and self.kind != "long_context":
            problems.append(f"'distractors' is set in a turn of kind {self.kind!r}")
        if self.part == 2 and self.kind not in TWO_PARTS:
            problems.append(f"a turn of kind {self.kind!r} has one part only")
        return problems

    def strip_filler(self, query: str) -> str:
        """Return a query of this turn without the text that has nothing to do with the request."""
        return query.replace(self.filler, "").strip() if self.filler else query

    def offer(self, tools: tuple[ToolSpec, ...]) -> tuple[ToolSpec, ...]:
        """Return the tools that the reasoner is offered in this turn, of the environment's."""
        held_out = self.function if self.part == 1 else None
        return (*(tool for tool in tools if tool.name != held_out), *self.distractors)


class TurnTask(Frozen):
    """A query, and the call trace that answers it."""

    query: str
    advanced_tool: AdvancedTool
    trace: CallTrace
    query_rounds: int = Field(default=1, ge=1)
    """How many queries were written until the gate let one pass."""
    hard: HardTurn | None = None
    """What makes the turn hard; None for a plain one."""
    pending: str = ""
    """The message before, whose request this query only completes."""
    then: TurnTask | None = None
    """The task that completes this one's request: the second message of the same turn."""

    @property
    def id(self) -> str:
        """Content hash of the task."""
        return content_hash([self.query, self.advanced_tool.id, self.trace.id])

    @property
    def kind(self) -> TurnKind:
        """Which kind of turn it sets."""
        return self.hard.kind if self.hard else "plain"
