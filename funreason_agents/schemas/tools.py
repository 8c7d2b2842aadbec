"""Tools, tool calls, tool results, and the tool graph as data."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from funreason_agents.schemas.base import Frozen

Evidence = Literal["declared", "schema", "probed"]


class ToolSpec(Frozen):
    """A callable with a JSON Schema, as it is advertised to a model."""

    name: str
    description: str
    parameters: dict[str, Any]
    """JSON Schema of the arguments; always of type `object`."""
    output_schema: dict[str, Any] | None = None
    requires: tuple[str, ...] = ()
    """Tools that must have succeeded first, where the author declares them."""

    @property
    def properties(self) -> dict[str, dict[str, Any]]:
        """The schema of each parameter by name."""
        return dict(self.parameters.get("properties") or {})

    @property
    def required(self) -> tuple[str, ...]:
        """The names of the parameters that must be given."""
        return tuple(self.parameters.get("required") or ())

    def to_function(self) -> dict[str, Any]:
        """Return the form in which models and training rows are told of it: OpenAI's function."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": self.parameters,
            },
        }


class ToolCall(Frozen):
    """One invocation of a tool."""

    id: str
    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class ToolResult(Frozen):
    """What a tool call gave back. `is_error` means that the tool said no, not that it broke."""

    call_id: str
    content: Any
    is_error: bool = False


class Origin(Frozen):
    """Where one leaf of a call's arguments comes from."""

    kind: Literal["output", "history", "state", "schema", "generated"]
    """`output`: an earlier call of the same trace. `history`: a call of an earlier turn."""
    call: int | None = None
    """Position of the providing call: in the trace for `output`."""
    path: str | None = None
    """JSON pointer into the providing call's result content, or into the visible state."""


class ExecutedCall(Frozen):
    """A call that was really executed, with what it did to the world."""

    call: ToolCall
    result: ToolResult
    state_before: str
    state_after: str
    origins: dict[str, Origin] = Field(default_factory=dict)
    """Origin of each argument leaf, by JSON pointer into `call.arguments`."""


class ToolEdge(Frozen):
    """`target` needs `source` first, with the evidence for it.

    Edges of one `group` of a target are alternatives: any one of their sources is enough.
    """

    source: str
    target: str
    kind: Literal["requires", "provides"]
    """`requires`: a state precondition. `provides`: an output field fills a parameter."""
    evidence: tuple[Evidence, ...]
    group: str
    output_field: str | None = None
    parameter: str | None = None
    necessary: bool = True
    """False: the target also runs without it, because a user can supply the value."""


class ToolGraph(Frozen):
    """The tools of an environment and what each of them needs first."""

    environment_id: str
    tools: tuple[str, ...]
    edges: tuple[ToolEdge, ...]
    writes: tuple[str, ...] = ()
    """Tools that were seen to change the state."""
    unreachable: dict[str, str] = Field(default_factory=dict)
    """Tools that no probe could make succeed, with the last error each of them gave."""

    @property
    def reachable(self) -> tuple[str, ...]:
        """The tools that at least one probe made succeed, in order."""
        return tuple(name for name in self.tools if name not in self.unreachable)

    def groups(self, tool: str, *, optional: bool = False) -> dict[str, tuple[ToolEdge, ...]]:
        """Return the prerequisite groups of `tool`: a conjunction of any-of groups.

        Args:
            tool: Name of the tool.
            optional: Also return groups that only save the user from supplying a value.
        """
        found: dict[str, list[ToolEdge]] = {}
        for edge in self.edges:
            if edge.target == tool and (edge.necessary or optional):
                found.setdefault(edge.group, []).append(edge)
        return {group: tuple(edges) for group, edges in found.items()}
