import pytest
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel, SecretStr

from funreason_agents.errors import ConfigurationError, ModelError, ModelOutputError
from funreason_agents.models.calls import ask, call_model, split_reasoning
from funreason_agents.models.offline import OfflineChatModel
from funreason_agents.testing import ScriptedChatModel


class Answer(BaseModel):
    number: int


def answering(*texts):
    """A model that says `texts`, one after the other."""
    return ScriptedChatModel(respond=lambda messages, _tools: texts[len(messages) // 2])


@pytest.mark.parametrize(
    "text",
    [
        '{"number": 7}',
        'Sure:\n```json\n{"number": 7}\n```\nDone.',
        'It is {"number": 7}, I think.',
        '<think>{"number": 1}</think>{"number": 7}',
        'so 1... </think>\n{"number": 7}',
    ],
)
def test_object_is_found_wherever_it_stands(text):
    assert ask(answering(text), "?", Answer) == Answer(number=7)


def test_malformed_answer_is_sent_back_twice_with_the_error():
    model = answering("seven", '{"number": "seven"}', '{"number": 7}')
    assert ask(model, "?", Answer) == Answer(number=7)
    last = [str(message.content) for message in model.calls[-1].messages]
    assert last[1] == "seven"
    assert "no JSON object" in last[2]
    assert "valid integer" in last[4]


def test_third_malformed_answer_is_an_error():
    model = answering("a", "b", '{"number": ')
    with pytest.raises(ModelOutputError, match="no valid Answer after 2 repairs"):
        ask(model, "?", Answer)
    assert len(model.calls) == 3


@pytest.mark.parametrize(
    ("message", "reasoning", "text"),
    [
        (AIMessage("hi"), None, "hi"),
        (AIMessage("<think>a</think>b"), "a", "b"),
        (AIMessage("a</think>b"), "a", "b"),
        (AIMessage("<think>cut off"), "cut off", ""),
        (AIMessage("<think></think>hi"), None, "hi"),
        (AIMessage("hi", additional_kwargs={"reasoning_content": "a"}), "a", "hi"),
        (
            AIMessage([{"type": "reasoning", "reasoning": "a"}, {"type": "text", "text": "b"}]),
            "a",
            "b",
        ),
        (
            AIMessage("", tool_calls=[{"name": "t", "args": {}, "id": "1"}]),
            None,
            "",
        ),
    ],
)
def test_reasoning_is_kept_apart_from_the_text(message, reasoning, text):
    assert split_reasoning(message) == (reasoning, text)


class Broken(OfflineChatModel):
    error: Exception
    api_key: SecretStr = SecretStr("sk-canary")

    def _generate(self, *args, **kwargs):
        raise self.error


def test_error_of_the_provider_is_a_model_error_with_its_cause():
    cause = ConnectionError("refused")
    with pytest.raises(ModelError, match="ConnectionError: refused") as caught:
        call_model(Broken(error=cause), [HumanMessage("?")])
    assert caught.value.__cause__ is cause
    assert not isinstance(caught.value, ModelOutputError)


def test_our_own_errors_pass_through():
    with pytest.raises(ConfigurationError, match="no such model"):
        call_model(Broken(error=ConfigurationError("no such model")), [HumanMessage("?")])


@pytest.mark.parametrize("bound", [False, True])
def test_key_that_a_server_repeats_is_hidden(bound):
    model = Broken(error=PermissionError("wrong key sk-canary"))
    with pytest.raises(ModelError, match=r"wrong key \*\*\*$"):
        call_model(model.bind_tools([]) if bound else model, [HumanMessage("?")])


def test_bug_in_a_model_of_ones_own_is_a_model_error_too():
    with pytest.raises(ModelOutputError, match="answered with str"):
        from langchain_core.runnables import RunnableLambda

        call_model(RunnableLambda(lambda _: "text"), [HumanMessage("?")])
