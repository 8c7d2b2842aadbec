"""What an operator looks at when it makes a turn hard."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass

from funreason_agents.config import SynthesisContext
from funreason_agents.schemas.tasks import AdvancedTool, CallTrace
from funreason_agents.schemas.tools import ToolSpec
from funreason_agents.verification.derivations import Facts
from funreason_agents.verification.turn_kinds import find_needed


@dataclass(frozen=True)
class Scene:
    """A turn that is to become a hard one."""

    trace: CallTrace
    """Without calls where nothing may be called."""
    tool: AdvancedTool | None
    """None for irrelevance: there it is made from the foreign tool."""
    tools: tuple[ToolSpec, ...]
    """The environment's tools."""
    before: Facts
    """The conversation before."""
    called: frozenset[str]
    """Names of the tools that were called earlier in the conversation."""
    context: SynthesisContext
    generator: random.Random


def leaves_nothing_to_do(trace: CallTrace, blocked: Collection[int]) -> bool:
    """Return whether no request of a trace could be served without the calls at `blocked`.

    Where one could, an assistant would rightly begin with it, rather than call nothing.
    """
    if len(trace.requests) == 1:
        return True
    return all(
        request in blocked or find_needed(trace.calls, request) & {*blocked}
        for request in trace.requests
    )
