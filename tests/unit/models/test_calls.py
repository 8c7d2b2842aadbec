import pytest
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel, Field

from funreason_agents.errors import ModelOutputError
from funreason_agents.models import calls
from funreason_agents.models.calls import (
    MOST_CALLS,
    count_tokens,
    form_of,
    parse_object,
    read_usage,
    require_sound,
    split_reasoning,
)
from funreason_agents.models.usage import Usage


class Answer(BaseModel):
    number: int


@pytest.mark.parametrize(
    "text",
    [
        '{"number": 7}',
        'Sure:\n```json\n{"number": 7}\n```\nDone.',
        'It is {"number": 7}, I think.',
    ],
)
def test_object_is_found_wherever_it_stands(text):
    assert parse_object(text, Answer) == Answer(number=7)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("seven", "malformed"),
        ('{"number": ', "malformed"),
        ('{"a": ' * 100_000, "malformed"),
        ('{"number": "seven"}', "wrong_schema"),
        ("{}", "wrong_schema"),
    ],
)
def test_text_without_the_object_says_what_is_wrong(text, kind):
    with pytest.raises(ModelOutputError) as caught:
        parse_object(text, Answer)
    assert caught.value.kind == kind


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


def calling(number):
    return AIMessage(
        "", tool_calls=[{"name": "t", "args": {}, "id": f"{i}"} for i in range(number)]
    )


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (AIMessage("cut", response_metadata={"finish_reason": "length"}), "truncated"),
        (AIMessage("cut", response_metadata={"stop_reason": "max_tokens"}), "truncated"),
        (AIMessage("", response_metadata={"finish_reason": "content_filter"}), "content_filter"),
        (AIMessage("", response_metadata={"finish_reason": "SAFETY"}), "content_filter"),
        (AIMessage("", additional_kwargs={"refusal": "I will not."}), "refused"),
        (AIMessage(""), "empty"),
        (AIMessage("<think>for ever"), "empty"),
        (AIMessage("x" * (calls.MOST_CHARACTERS + 1)), "too_long"),
        (calling(MOST_CALLS + 1), "too_many_calls"),
    ],
)
def test_answer_that_is_of_no_use_says_why(answer, kind):
    with pytest.raises(ModelOutputError) as caught:
        require_sound(answer)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    "answer",
    [AIMessage("hi", response_metadata={"finish_reason": "stop"}), calling(1), calling(MOST_CALLS)],
)
def test_answer_that_says_or_calls_something_is_sound(answer):
    assert require_sound(answer) is None


def test_tokens_that_the_server_counted_are_taken_as_they_are():
    counted = {"input_tokens": 10, "output_tokens": 3, "total_tokens": 13}
    assert read_usage(AIMessage("hi", usage_metadata=counted), pytest.fail) == Usage(
        10, 3, 13, False
    )


def test_tokens_that_nobody_counted_are_estimated_and_say_so():
    sent = count_tokens([HumanMessage("x" * 400)], [])
    assert sent == 101
    assert read_usage(AIMessage("y" * 40), lambda: sent) == Usage(101, 11, 112, True)


def test_form_of_an_answer_has_no_class_names_and_docstrings():
    class Draft(BaseModel):
        """What nobody should repeat."""

        title: str = Field(description="also left out")
        description: str = ""

    form = form_of(Draft)
    assert set(form["properties"]) == {"title", "description"}
    assert "Draft" not in str(form)
    assert "nobody" not in str(form) and "left out" not in str(form)


def test_answer_that_used_up_its_tokens_is_cut_off_whatever_the_server_says():
    usage = {"input_tokens": 5, "output_tokens": 64, "total_tokens": 69}
    answer = AIMessage(
        "half a sent", usage_metadata=usage, response_metadata={"finish_reason": "stop"}
    )
    require_sound(answer, 65)
    with pytest.raises(ModelOutputError) as caught:
        require_sound(answer, 64)
    assert caught.value.kind == "truncated"
