"""State schemas of the four graphs, and their one reducer.

State holds plain JSON (`Frozen.to_json`), parsed at the edge of each node, so that checkpoints
can be read by any saver in strict mode. What grows with the conversation sits in delta channels,
which store each item once. Each stage still stores the conversation that it is handed, so that the
bytes per turn grow by a quarter from 2 to 16 turns (`benchmarks/checkpoint_growth.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Protocol, TypeVar

from langgraph.channels import DeltaChannel
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from funreason_agents.config import SynthesisContext
from funreason_agents.models.client import CallScope

Json = dict[str, Any]
State = TypeVar("State", contravariant=True)


class Node(Protocol[State]):
    """A node: from its graph's state to an update of it. Always synchronous."""

    def __call__(self, state: State, *, runtime: Runtime[SynthesisContext]) -> Json:
        """Return the update."""


def scope_of(runtime: Runtime[SynthesisContext], node: str) -> CallScope:
    """Return which model call this is, for the ledger and for limits per trajectory."""
    info = runtime.execution_info
    return CallScope(thread_id=(info.thread_id if info else None) or "", node=node)


def merge_by_key(present: list[Json], writes: Sequence[list[Json]]) -> list[Json]:
    """Append the items of `writes`; one whose `key` is already there takes that one's place."""
    merged = {item["key"]: item for item in present}
    for items in writes:
        merged.update({item["key"]: item for item in items})
    return list(merged.values())


SNAPSHOTS = 1_000_000
"""Updates between full copies in a delta channel: none, since a thread is short."""

Growing = Annotated[list[Json], DeltaChannel(merge_by_key, snapshot_frequency=SNAPSHOTS)]


class ExplorerInput(TypedDict, total=False):
    """What the environment explorer is asked: where to stand and what to head for."""

    run_seed: int
    index: int
    turn: int
    turn_attempt: int
    turn_kind: str
    """What the trace must serve for: `plain` by default, or a kind of hard turn."""
    environment_seed: int
    """Seed of the session; by default the one of trajectory `index`."""
    wanted_target: str
    """Tool to head for; planned from the coverage quota if absent."""
    conversation: Growing
    """Messages of the earlier turns, each with a `key`; their calls are the session's history."""
    state_hash: str
    """Expected state hash before this turn."""


class ExplorerOutput(TypedDict, total=False):
    """A call trace, or why there is none."""

    call_trace: Json | None
    rejection: str | None
    target: str
    """The tool that was headed for."""


class ExplorerState(ExplorerInput, ExplorerOutput, total=False):
    """Working state of the environment explorer."""


class WriterInput(TypedDict, total=False):
    """A call trace to write a query for, and the conversation so far."""

    run_seed: int
    index: int
    turn: int
    turn_attempt: int
    turn_kind: str
    call_trace: Json
    conversation: Growing


class WriterOutput(TypedDict, total=False):
    """A turn task, with the one that completes it as its `then`, or why there is none."""

    turn_task: Json | None
    rejection: str | None


class WriterState(WriterInput, WriterOutput, total=False):
    """Working state of the query writer."""

    advanced_tool: Json
    hard: Json | None
    query: str
    problems: list[str]
    query_rounds: int


class ReasonerInput(TypedDict, total=False):
    """A turn task, and the conversation so far."""

    turn_task: Json
    conversation: Growing


class ReasonerOutput(TypedDict, total=False):
    """The last attempt with its verdict, and the critiques on the way."""

    attempt: Json | None
    verdict: Json | None
    critiques: list[Json]
    accepted_samples: list[int]
    """Per round, how many of its samples were accepted."""
    rejection: str | None


class ReasonerState(ReasonerInput, ReasonerOutput, total=False):
    """Working state of the reasoner/critic."""

    task_id: str
    """The task that the rest of this state belongs to."""
    round: int
    samples: list[Json]
    """The attempts of this round, all of which go on in each step until they have stopped."""


class SupervisorInput(TypedDict, total=False):
    """Which trajectory to make."""

    seed: int
    """Seed of the run."""
    index: int
    """Index of the trajectory in the run."""


class SupervisorOutput(TypedDict, total=False):
    """A trajectory, accepted or rejected."""

    status: str
    trajectory: Json


class SupervisorState(SupervisorInput, SupervisorOutput, total=False):
    """Working state of the supervisor."""

    environment_seed: int
    turns: Growing
    rejected_turns: Growing
    review: list[str]
    """The points at which a person is asked."""
    reviewed: list[str]
    """The points of this turn that a person has accepted."""
    review_refused: list[str]
    """Why the person's last decision could not be taken."""
    edits: list[Json]
    """What a person has changed in this turn."""
    parts: list[Json]
    """Turns already accepted that are kept only if the one that completes them is, too."""
    turn: int
    turn_attempt: int
    turn_kind: str
    state_hash: str
    call_trace: Json | None
    turn_task: Json | None
    attempt: Json | None
    verdict: Json | None
    critiques: list[Json]
    accepted_samples: list[int]
    rejection: str | None
    target: str
