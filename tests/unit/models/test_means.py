"""By which means a client asks: what makes it give one up, and what does not."""

import threading

import pytest
from langchain_core.messages import HumanMessage

from funreason_agents.errors import PermanentModelError
from funreason_agents.models.client import CallScope, ModelClient
from funreason_agents.testing import ScriptedChatModel

SCOPE = CallScope("thread", "node")
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
TEXT_CALL = '<tool_call>{"name": "find", "arguments": {}}</tool_call>'


class StatusError(Exception):
    def __init__(self, status, text):
        super().__init__(text)
        self.status_code = status


def failing(trouble, then):
    """A model that raises `trouble` once, and then answers."""
    left = [trouble]

    def respond(_messages, _tools):
        if left:
            raise left.pop()
        return then

    return ScriptedChatModel(respond=respond)


def act(client, prompt="?"):
    return client.act([HumanMessage(prompt)], [TOOL], SCOPE)


@pytest.mark.parametrize("status", [400, 422, 501])
def test_refusal_that_says_nothing_of_the_means_is_raised(status):
    model = failing(StatusError(status, "malfunction: one odd message"), then="Done.")
    client = ModelClient("querying", model)
    with pytest.raises(PermanentModelError, match="one odd message"):
        act(client)
    act(client)
    assert [bool(call.tools) for call in model.calls] == [True, True]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, '"auto" tool choice requires --enable-auto-tool-choice'),
        (400, "registry/model does not support tools"),
        (400, "Invalid parameter: 'response_format' of type 'json_schema'"),
        (422, "{'loc': ['body', 'functions'], 'msg': 'extra fields not permitted'}"),
        (501, "guided decoding is not built in"),
        (404, "No endpoints found that support tool use"),
    ],
)
def test_refusal_of_the_means_is_worked_round_with_a_warning(status, said, caplog):
    model = failing(StatusError(status, said), then=TEXT_CALL)
    answer = act(ModelClient("querying", model, model_id="some"))
    assert [call["name"] for call in answer.tool_calls] == ["find"]
    (warning,) = caplog.records
    assert warning.levelname == "WARNING"
    assert "querying: some is asked by 'text', since 'tool' is refused" in warning.message
    assert said in warning.message


def start(client):
    """Have a thread act; return it, and a list for what that comes to."""
    found = []

    def act_slowly():
        try:
            found.append(act(client, "slow"))
        except PermanentModelError as exc:
            found.append(exc)

    thread = threading.Thread(target=act_slowly)
    thread.start()
    return thread, found


def test_better_means_that_works_in_another_thread_is_kept():
    sent, answered = threading.Event(), threading.Event()

    def respond(messages, tools):
        slow = "slow" in str(messages[-1].content)
        if slow and tools:
            raise StatusError(400, "no tools today")
        if slow:
            sent.set()
            assert answered.wait(10)
        return TEXT_CALL

    model = ScriptedChatModel(respond=respond)
    client = ModelClient("querying", model)
    thread, found = start(client)
    assert sent.wait(10)
    act(client, "quick")
    answered.set()
    thread.join(10)
    act(client, "later")
    assert found[0].tool_calls
    assert [bool(call.tools) for call in model.calls] == [True, False, True, True]


def test_means_by_which_another_thread_was_answered_is_not_given_up():
    sent, answered = threading.Event(), threading.Event()

    def respond(messages, tools):
        if messages[0].content == "slow":
            sent.set()
            assert answered.wait(10)
            raise StatusError(400, "odd tools")
        return TEXT_CALL

    model = ScriptedChatModel(respond=respond)
    client = ModelClient("querying", model)
    thread, found = start(client)
    assert sent.wait(10)
    act(client, "quick")
    answered.set()
    thread.join(10)
    assert isinstance(found[0], PermanentModelError)
    assert all(call.tools for call in model.calls)
