"""How a client asks: by which means, how often again, and what it makes of the answers."""

import threading

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel, Field

from funreason_agents.errors import (
    BudgetExceededError,
    ModelError,
    ModelOutputError,
    PermanentModelError,
    StoppedError,
    TransientModelError,
)
from funreason_agents.models.calls import MOST_CALLS
from funreason_agents.models.client import CallScope, ModelClient, Retries
from funreason_agents.models.ledger import Ledger, Limits
from funreason_agents.testing import ScriptedChatModel

SCOPE = CallScope("thread", "node")
SOON = Retries(attempts=4, first=0.0)
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}


class Answer(BaseModel):
    number: int


class StatusError(Exception):
    def __init__(self, status, text="sorry"):
        super().__init__(text)
        self.status_code = status


class Profiled(ScriptedChatModel):
    """Notes by which means it was asked."""

    means: list = Field(default_factory=list)

    def bind_tools(self, tools, *, tool_choice=None, **kwargs):
        self.means.append(tool_choice)
        return super().bind_tools(tools)

    def with_structured_output(self, schema, *, method, include_raw):
        self.means.append(method)
        return RunnableLambda(lambda messages: {"raw": self.invoke(messages), "parsed": None})


def client_of(model, **options):
    return ModelClient("querying", model, retries=SOON, **options)


def answering(*texts):
    """A model that says `texts`, one after the other."""
    return ScriptedChatModel(respond=lambda messages, _tools: texts[len(messages) // 2])


def failing(*troubles, then='{"number": 7}'):
    """A model that raises `troubles`, one after the other, and then answers."""
    left = list(troubles)

    def respond(_messages, _tools):
        if left:
            raise left.pop(0)
        return then

    return ScriptedChatModel(respond=respond)


def test_malformed_answer_is_sent_back_twice_with_the_error():
    model = answering("seven", '{"number": "seven"}', '{"number": 7}')
    assert client_of(model).ask("?", Answer, SCOPE) == Answer(number=7)
    last = [str(message.content) for message in model.calls[-1].messages]
    assert last[1] == "seven"
    assert "no JSON object" in last[2]
    assert "valid integer" in last[4]


def test_third_malformed_answer_is_an_error_that_says_what_is_wrong():
    model = answering("a", "b", '{"number": "x"}')
    with pytest.raises(ModelOutputError, match="no valid Answer after 2 repairs") as caught:
        client_of(model).ask("?", Answer, SCOPE)
    assert caught.value.kind == "wrong_schema"
    assert len(model.calls) == 3


def test_reasoning_is_no_part_of_the_object():
    model = answering('<think>{"number": 1}</think>{"number": 7}')
    assert client_of(model).ask("?", Answer, SCOPE) == Answer(number=7)


def test_endless_repetition_is_not_sent_back_whole():
    model = answering("and again " * 10_000, '{"number": 7}')
    assert client_of(model).ask("?", Answer, SCOPE) == Answer(number=7)
    assert len(model.calls[1].prompt) < 5_000


def test_filtered_answer_is_not_asked_for_again():
    message = AIMessage("", response_metadata={"finish_reason": "content_filter"})
    model = ScriptedChatModel(respond=lambda *_: message)
    with pytest.raises(ModelOutputError) as caught:
        client_of(model).ask("?", Answer, SCOPE)
    assert caught.value.kind == "content_filter"
    assert len(model.calls) == 1


def test_identical_request_is_sent_again_until_it_is_answered():
    model = failing(StatusError(503), TimeoutError(), ConnectionResetError())
    ledger = Ledger()
    client_of(model, ledger=ledger).ask("?", Answer, SCOPE)
    assert len(model.calls) == 4
    assert len({call.prompt for call in model.calls}) == 1
    assert (ledger.total.calls, ledger.total.requests, ledger.total.failed) == (1, 4, 0)


def test_provider_that_stays_away_is_asked_a_bounded_number_of_times():
    model = failing(*[StatusError(503)] * 9)
    ledger = Ledger()
    with pytest.raises(TransientModelError):
        client_of(model, ledger=ledger).ask("?", Answer, SCOPE)
    assert len(model.calls) == SOON.attempts
    assert ledger.total.failed == 1


def test_waits_grow_and_are_bounded():
    retries = Retries(first=1, longest=8)
    assert 0.5 <= retries.delay(1, None) <= 1
    assert 2 <= retries.delay(3, None) <= 4
    assert retries.delay(60, None) <= 8
    assert retries.delay(1, 5) == 5
    assert retries.delay(1, 3600) == 8


def test_waits_are_bounded_in_total():
    model = failing(*[StatusError(503)] * 9)
    client = ModelClient("querying", model, retries=Retries(attempts=9, first=1, total=0.1))
    with pytest.raises(TransientModelError):
        client.ask("?", Answer, SCOPE)
    assert len(model.calls) == 1


def test_waiting_ends_at_once_when_the_run_stops():
    ledger = Ledger()
    ledger.stopping.set()
    model = failing(StatusError(503))
    patient = Retries(first=3600, longest=3600, total=1e9)
    client = ModelClient("querying", model, ledger=ledger, retries=patient)
    with pytest.raises(StoppedError):
        client.ask("?", Answer, SCOPE)
    assert len(model.calls) == 1


def test_waiting_ends_at_the_deadline():
    times = {"now": 0.0}

    def respond(_messages, _tools):
        times["now"] = 11.0
        raise StatusError(503)

    model = ScriptedChatModel(respond=respond)
    ledger = Ledger(limits=Limits(deadline=10), clock=lambda: times["now"])
    client = ModelClient("querying", model, ledger=ledger, retries=Retries(first=30))
    with pytest.raises(BudgetExceededError, match="deadline"):
        client.ask("?", Answer, SCOPE)
    assert len(model.calls) == 1


@pytest.mark.parametrize("status", [401, 404])
def test_refusal_is_not_asked_again(status):
    model = failing(StatusError(status))
    with pytest.raises(PermanentModelError) as caught:
        client_of(model).ask("?", Answer, SCOPE)
    assert caught.value.stops_run
    assert len(model.calls) == 1


def test_trouble_nobody_knows_is_raised_with_its_cause():
    cause = KeyError("bug")
    with pytest.raises(ModelError, match="KeyError: 'bug'") as caught:
        client_of(failing(cause)).ask("?", Answer, SCOPE)
    assert type(caught.value) is ModelError
    assert caught.value.__cause__ is cause


def test_no_call_is_made_beyond_a_limit():
    model = answering('{"number": 7}')
    client = client_of(model, ledger=Ledger(limits=Limits(max_calls=1)))
    client.ask("?", Answer, SCOPE)
    with pytest.raises(BudgetExceededError):
        client.ask("?", Answer, SCOPE)
    assert len(model.calls) == 1


def test_unusable_answer_is_paid_for_all_the_same():
    counted = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    metadata = {"finish_reason": "length"}
    cut = AIMessage("cut", usage_metadata=counted, response_metadata=metadata)
    ledger = Ledger()
    client = client_of(ScriptedChatModel(respond=lambda *_: cut), ledger=ledger)
    with pytest.raises(ModelOutputError):
        client.act([HumanMessage("?")], [TOOL], SCOPE)
    assert (ledger.total.calls, ledger.total.tokens) == (1, 15)
    assert ledger.by_trajectory["thread"].tokens == 15


@pytest.mark.parametrize(
    ("profile", "means"),
    [
        ({"structured_output": True, "tool_calling": True}, "json_schema"),
        ({"tool_calling": True}, "answer"),
        ({"tool_calling": False}, None),
    ],
)
def test_object_is_asked_for_by_the_best_means_of_the_profile(profile, means):
    model = Profiled(respond=lambda *_: '{"number": 7}', profile=profile, means=[])
    client = client_of(model)
    assert client.ask("?", Answer, SCOPE) == Answer(number=7)
    assert model.means == ([means] if means else [])


def test_forced_call_gives_the_object():
    call = {"name": "Answer", "args": {"number": 7}, "id": "1"}
    model = Profiled(
        respond=lambda *_: AIMessage("", tool_calls=[call]), profile={"tool_calling": True}
    )
    assert client_of(model).ask("?", Answer, SCOPE) == Answer(number=7)


def test_means_that_is_refused_is_tried_once():
    def respond(_messages, tools):
        if tools:
            raise StatusError(400, "tool_choice is not supported")
        return '{"number": 7}'

    model = Profiled(respond=respond, profile={"tool_calling": True}, means=[])
    client = client_of(model)
    for _ in range(3):
        assert client.ask("?", Answer, SCOPE) == Answer(number=7)
    assert model.means == ["answer"]


def test_refusal_after_a_means_has_worked_is_a_refusal():
    model = failing(then='{"number": 7}')
    client = client_of(model)
    client.ask("?", Answer, SCOPE)
    client.model = client._bound["text", Answer] = failing(StatusError(400, "bad request"))
    with pytest.raises(PermanentModelError) as caught:
        client.ask("?", Answer, SCOPE)
    assert not caught.value.stops_run
    assert len(client.model.calls) == 1


def test_call_written_as_text_becomes_a_call_with_its_reasoning():
    text = '<think>look</think>Yes. <tool_call>{"name": "find", "arguments": {"a": 1}}</tool_call>'
    answer = client_of(answering(text)).act([HumanMessage("?")], [TOOL], SCOPE)
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("find", {"a": 1})]
    assert answer.content == "Yes."
    assert answer.additional_kwargs["reasoning_content"] == "look"


def test_text_call_of_a_tool_that_is_not_offered_stays_text():
    text = '<tool_call>{"name": "rm", "arguments": {}}</tool_call>'
    answer = client_of(answering(text)).act([HumanMessage("?")], [TOOL], SCOPE)
    assert answer.tool_calls == []
    assert answer.content == text


@pytest.mark.parametrize("native", [True, False])
def test_thousands_of_calls_are_refused(native):
    call = {"name": "find", "args": {}, "id": "1"}
    calls = [call] * (MOST_CALLS + 1)
    text = '<tool_call>{"name": "find", "arguments": {}}</tool_call>' * (MOST_CALLS + 1)
    answer = AIMessage("", tool_calls=calls) if native else AIMessage(text)
    with pytest.raises(ModelOutputError) as caught:
        client_of(ScriptedChatModel(respond=lambda *_: answer)).act(
            [HumanMessage("?")], [TOOL], SCOPE
        )
    assert caught.value.kind == "too_many_calls"


def test_model_whose_server_refuses_tools_is_told_of_them_in_text():
    def respond(_messages, tools):
        if tools:
            raise StatusError(400, "tool choice requires a parser")
        return '<tool_call>{"name": "find", "arguments": {}}</tool_call>'

    model = ScriptedChatModel(respond=respond)
    client = client_of(model)
    for _ in range(2):
        assert client.act([HumanMessage("?")], [TOOL], SCOPE).tool_calls[0]["name"] == "find"
    assert [bool(call.tools) for call in model.calls] == [True, False, False]
    assert '"name": "find"' in model.calls[-1].prompt


def test_model_that_cannot_bind_tools_is_told_of_them_in_text():
    class Plain(ScriptedChatModel):
        def bind_tools(self, *_args, **_kwargs):
            raise NotImplementedError

    model = Plain(respond=lambda *_: "Nothing to do.")
    answer = client_of(model).act([HumanMessage("?")], [TOOL], SCOPE)
    assert answer.content == "Nothing to do."
    assert "<tools>" in model.calls[0].prompt


def test_clients_can_be_used_from_many_threads():
    ledger = Ledger()
    client = client_of(answering('{"number": 7}'), ledger=ledger)
    threads = [threading.Thread(target=client.ask, args=("?", Answer, SCOPE)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.total.calls == 20
    assert client._limiter.in_flight == 0
