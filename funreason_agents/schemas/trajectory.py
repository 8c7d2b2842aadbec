"""Attempts, verdicts, turns and trajectories: the right-hand side of the data flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from funreason_agents.schemas.base import Frozen
from funreason_agents.schemas.review import Edit
from funreason_agents.schemas.tasks import AdvancedTool, CallTrace, HardTurn, TurnKind
from funreason_agents.schemas.tools import ExecutedCall, ToolCall

CheckName = Literal[
    "calls_valid",
    "calls_match",
    "end_state",
    "arguments_derivable",
    "query_clean",
    "reply_grounded",
    "scaffolding_absent",
    "turn_kind",
    "replays",
]
MatchMode = Literal["exact", "outcome"]
CritiqueKind = Literal[
    "missing_call", "extra_call", "wrong_tool", "wrong_source", "separate_calls", "bad_reply"
]


class Message(Frozen):
    """One chat message, in the shape that training rows are made of."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    is_error: bool = False
    """The tool said no. Only for tool messages."""
    trainable: bool = False
    """The reasoner wrote this message, it was accepted, and no call in it was refused."""


def calls_of(messages: Sequence[Message]) -> tuple[ToolCall, ...]:
    """Return the tool calls of `messages`, in order."""
    return tuple(call for message in messages for call in message.tool_calls)


class Attempt(Frozen):
    """One answer of the reasoner: everything it said and every call that was executed."""

    round: int = Field(ge=1)
    sample: int = Field(default=0, ge=0)
    """Which of the samples of its round this is, from 0."""
    messages: tuple[Message, ...]
    executed: tuple[ExecutedCall, ...]
    stop: Literal["replied", "too_many_calls", "unusable_answer"]
    trouble: str | None = None
    """Of an unusable answer: what is wrong with it, such as `"truncated"`."""

    @property
    def reply(self) -> str:
        """The closing reply; empty if the attempt never came to one."""
        last = self.messages[-1] if self.messages else None
        return last.content if last is not None and self.stop == "replied" else ""


class Critique(Frozen):
    """What the critic says of a failed attempt. May not contain gold values."""

    round: int
    kind: CritiqueKind
    step: int | None = None
    """Position of the call in the attempt, from 0."""
    tool: str | None = None
    parameter: str | None = None
    text: str


class Check(Frozen):
    """The outcome of one named deterministic test."""

    name: CheckName
    passed: bool
    mode: MatchMode | None = None
    details: dict[str, Any] = Field(default_factory=dict)


class Verdict(Frozen):
    """The decision, with every check that led to it."""

    checks: tuple[Check, ...]
    verifier_version: int

    @property
    def accepted(self) -> bool:
        """True if every check ran and passed."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that did not pass."""
        return tuple(check.name for check in self.checks if not check.passed)


class Turn(Frozen):
    """An accepted attempt, closed with a reply, together with what it was judged against."""

    index: int
    """Which planned turn it belongs to. A hard turn may take two messages of the user."""
    query: str
    advanced_tool: AdvancedTool
    trace: CallTrace
    attempt: Attempt
    verdict: Verdict
    turn_attempt: int
    """Which draw of a target this is, from 1; the ones before it were rejected."""
    hard: HardTurn | None = None
    """What makes it hard; None for a plain turn."""
    samples: tuple[int, ...] = ()
    """Per round, how many of its samples were accepted."""
    edits: tuple[Edit, ...] = ()
    """What a person changed in it; the turn was executed and verified again after each."""

    @property
    def kind(self) -> TurnKind:
        """Which kind of turn it is."""
        return self.hard.kind if self.hard else "plain"

    @property
    def messages(self) -> tuple[Message, ...]:
        """The turn as it stands in the conversation."""
        return (Message(role="user", content=self.query), *self.attempt.messages)


class RejectedTurn(Frozen):
    """A drawn target that did not become a turn, and why."""

    turn: int
    turn_attempt: int
    kind: TurnKind = "plain"
    target: str | None
    """None if the environment has no tool that could be one."""
    stage: Literal["environment_explorer", "query_writer", "reasoner_critic", "review"]
    reason: str
    query: str | None = None
    trace: CallTrace | None = None
    attempt: Attempt | None = None
    checks: tuple[Check, ...] = ()
    critiques: tuple[Critique, ...] = ()
    samples: tuple[int, ...] = ()
    """Per round, how many of its samples were accepted; of a rejected turn, none."""


class Trajectory(Frozen):
    """N accepted turns over one persisting state, or the reason why there are fewer."""

    thread_id: str
    environment_id: str
    tools_hash: str
    environment_seed: int
    models: dict[str, str]
    """Model id by role."""
    run_seed: int
    index: int
    status: Literal["accepted", "rejected"]
    turns: tuple[Turn, ...]
    rejected_turns: tuple[RejectedTurn, ...] = ()
    planned_turns: int

    @property
    def messages(self) -> tuple[Message, ...]:
        """The whole conversation."""
        return tuple(message for turn in self.turns for message in turn.messages)

    @property
    def executed(self) -> tuple[ExecutedCall, ...]:
        """Every call that the accepted turns executed, in order."""
        return tuple(step for turn in self.turns for step in turn.attempt.executed)


class Failure(Frozen):
    """Something broke while trajectory `index` was made; running again tries it again."""

    index: int
    thread_id: str
    error: str
    """Class name of the error."""
    message: str
