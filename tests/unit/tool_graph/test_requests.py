"""Which calls of a trace a user has to ask for."""

from funreason_agents.schemas.tools import ExecutedCall, Origin, ToolCall, ToolResult
from funreason_agents.tool_graph.minimise import find_requests


def step(name, before, after, uses=None):
    call = ToolCall(id=name, name=name, arguments={"thing": "x"} if uses is not None else {})
    origins = {} if uses is None else {"/thing": Origin(kind="output", call=uses, path="/thing")}
    result = ToolResult(call_id=name, content={"thing": "x"})
    return ExecutedCall(
        call=call, result=result, state_before=before, state_after=after, origins=origins
    )


def test_a_look_up_is_no_request():
    calls = [step("find", "a", "a"), step("pay", "a", "b", uses=0)]
    assert find_requests(calls, [1], set()) == [1]


def test_making_the_thing_that_a_later_call_goes_on_with_is_a_request():
    calls = [step("reserve", "a", "b"), step("pay", "b", "c", uses=0)]
    assert find_requests(calls, [1], set()) == [0, 1]


def test_a_login_that_the_target_needs_is_no_request():
    calls = [step("sign_in", "a", "b"), step("pay", "b", "c")]
    assert find_requests(calls, [1], {"sign_in"}) == [1]
