"""A critique gives away no value of the gold trace."""

from __future__ import annotations

from typing import Any

import pytest

from funreason_agents.graphs.agents import find_leaks
from funreason_agents.schemas.tasks import AdvancedTool, CallTrace, TurnTask
from funreason_agents.schemas.tools import ExecutedCall, ToolCall, ToolResult
from funreason_agents.schemas.trajectory import Attempt, Critique


def _step(name: str, arguments: dict[str, Any], result: Any) -> ExecutedCall:
    return ExecutedCall(
        call=ToolCall(id="call_0", name=name, arguments=arguments),
        result=ToolResult(call_id="call_0", content=result),
        state_before="a",
        state_after="a",
    )


GOLD = (
    _step("find_room", {"city": "Oslo"}, {"code": "CANARY-7X", "fee": 918273}),
    _step("hold_room", {"code": "CANARY-7X", "note": "purple canary song"}, {"ids": [["DEEP-9Z"]]}),
)
TASK = TurnTask(
    query="Hold a room in Oslo.",
    advanced_tool=AdvancedTool(name="t", description="d", composition=("find_room", "hold_room")),
    trace=CallTrace(
        environment_id="e", seed=0, target="hold_room", state_before="a", calls=GOLD, requests=(1,)
    ),
)


def leaks(text: str, *executed: ExecutedCall, **fields: Any) -> list[Any]:
    critique = Critique(round=1, kind="wrong_source", text=text, **fields)
    attempt = Attempt(round=1, messages=(), executed=executed, stop="replied")
    return find_leaks(critique, TASK, attempt)


@pytest.mark.parametrize(
    "said",
    ["CANARY-7X", "canary-7x", "'CANARY-7X'", "918273", "918,273", "$918273", "DEEP-9Z",
     "Purple  Canary Song", "hold_room"],
)  # fmt: skip
def test_no_gold_value_or_uncalled_gold_tool_may_be_said(said: str) -> None:
    assert leaks(f"You should have used {said}.") != []
    assert leaks("Wrong.", parameter=said) != []


def test_what_the_attempt_saw_or_the_query_says_is_no_leak() -> None:
    assert leaks("CANARY-7X was found by find_room for Oslo.", GOLD[0]) == []


@pytest.mark.parametrize("text", ["Step 2 takes code from the wrong place.", "A call is missing."])
def test_kind_and_place_of_an_error_are_no_leak(text: str) -> None:
    assert leaks(text) == []
