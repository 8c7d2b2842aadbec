"""From an executed call trace to the task that a turn sets: the middle of the data flow."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from funreason_agents.schemas.base import Frozen, content_hash
from funreason_agents.schemas.tools import ExecutedCall


class CallTrace(Frozen):
    """The calls that were executed for one turn: its gold answer, minimised by re-execution."""

    environment_id: str
    seed: int
    """Seed of the environment session."""
    target: str
    calls: tuple[ExecutedCall, ...]
    requests: tuple[int, ...]
    """Positions of the calls that the user asks for; all others only serve one of these."""

    @property
    def id(self) -> str:
        """Content hash of the trace."""
        return content_hash(self.to_json())

    @property
    def state_before(self) -> str:
        """State hash before the first call."""
        return self.calls[0].state_before

    @property
    def state_after(self) -> str:
        """State hash after the last call."""
        return self.calls[-1].state_after

    @property
    def tool_names(self) -> tuple[str, ...]:
        """Names of the called tools, in order."""
        return tuple(step.call.name for step in self.calls)


class OuterInput(Frozen):
    """A value that the user must supply, under the words a user would call it by."""

    label: str
    description: str = ""
    value: Any


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


class TurnTask(Frozen):
    """A query, and the call trace that answers it."""

    query: str
    advanced_tool: AdvancedTool
    trace: CallTrace
    query_rounds: int = Field(default=1, ge=1)
    """How many queries were written until the gate let one pass."""

    @property
    def id(self) -> str:
        """Content hash of the task."""
        return content_hash([self.query, self.advanced_tool.id, self.trace.id])
