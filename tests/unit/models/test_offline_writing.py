"""What the offline model writes as a user, and how it judges what was written."""

import json

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from funreason_agents.models.offline.language import read_ordinals, read_same, read_values
from funreason_agents.models.offline.model import answer_messages

VALUES = {"town": "Bodo", "hour": 5, "flags": ["NO", "IS"]}
INPUTS = [
    {"label": "town", "value": "Bodo", "description": "request 1"},
    {"label": "hour", "value": 5, "description": "request 2"},
    {"label": "flags", "value": ["NO", "IS"], "description": "request 2"},
]
EFFECTS = "look up the harbour office of a coastal town\norder a tug for one ship"


def ask(role, data):
    text = f"<role>{role}</role>\n```json\n{json.dumps(data)}\n```\n```json\n{{}}\n```"
    return json.loads(answer_messages([SystemMessage(text)], []).content)


def write(inputs=INPUTS, effects=EFFECTS, conversation=(), **noise):
    tool = {"description": effects, "inputs": inputs, "output": ""}
    data = {"advanced_tool": tool, "conversation": list(conversation), "noise": noise}
    return ask("querying", {**data, "problems": []})["query"]


@pytest.mark.parametrize("order", ["request_first", "values_first", None])
@pytest.mark.parametrize("detail", ["sparse", "normal", "rich"])
def test_values_are_read_back_in_any_style(order, detail):
    for variant in range(60):
        before = ["Hi."] * (variant % 2)
        query = write(variant=variant, order=order, detail=detail, conversation=before)
        assert dict(read_values(query, ["town", "hour", "flags"])) == VALUES, query
        for effect in EFFECTS.split("\n"):
            assert effect in query


def test_order_decides_which_comes_first():
    for variant in range(60):
        for order, first in (("request_first", False), ("values_first", True)):
            query = write(variant=variant, order=order, language="English", persona="a student")
            assert (query.index('"Bodo"') < query.index("look up")) is first, query


def test_order_changes_nothing_where_there_is_no_value():
    plain = [write([], variant=v, order="request_first") for v in range(60)]
    assert plain == [write([], variant=v, order="values_first") for v in range(60)]


def test_detail_decides_how_much_is_said_around_the_request():
    for variant in range(60):
        sparse, normal, rich = (
            write(variant=variant, detail=detail) for detail in ("sparse", "normal", "rich")
        )
        assert len(sparse) <= len(normal) < len(rich)
        assert normal == write(variant=variant)
        assert not sparse.startswith(("Hi", "Hello", "Good day", "Quick"))
        assert not sparse.rstrip(".?!").endswith(("Thanks", "Thank you"))


@pytest.mark.parametrize("order", ["request_first", "values_first"])
def test_reference_stands_in_place_of_label_and_value(order):
    town = {"label": "town", "value": "Bodo", "description": "request 1"}
    inputs = [{**town, "reference": "the same town as before"}, *INPUTS[1:]]
    shown = [{k: v for k, v in each.items() if k != "value"} for each in inputs[:1]] + inputs[1:]
    for variant in range(60):
        query = write(inputs, variant=variant, order=order)
        assert query.lower().count("the same town as before") == 1
        assert "Bodo" not in query
        assert read_same(query, ["town"]) == ["town"]
        assert query == write(shown, variant=variant, order=order)


def test_written_reference_is_bound_by_the_reasoner():
    same = [{"label": "town", "reference": "the same town as before", "description": "request 1"}]
    function = {
        "name": "find",
        "description": "Look up the harbour office of a coastal town.",
        "parameters": {"properties": {"town": {"type": "string"}}, "required": ["town"]},
    }
    prompt = '<role>reasoning</role>\n```json\n{"composition": ["find"], "critiques": []}\n```'
    for variant in range(60):
        call = {"name": "find", "args": {"town": "Bodo"}, "id": "c"}
        chat = [
            SystemMessage(prompt),
            HumanMessage("Hello."),
            AIMessage("", tool_calls=[call]),
            ToolMessage("{}", tool_call_id="c", name="find"),
            AIMessage("Done."),
            HumanMessage(write(same, variant=variant)),
        ]
        answer = answer_messages(chat, [{"type": "function", "function": function}])
        assert [call["args"] for call in answer.tool_calls] == [{"town": "Bodo"}]


def test_ordinals_are_read_with_what_they_count():
    assert read_ordinals("Take the second one you listed.") == [(1, "one")]
    two = "the first ship that you showed me, not the last hull number you gave"
    assert read_ordinals(two) == [(0, "ship"), (-1, "hull number")]
    assert read_ordinals("The second floor. You listed nothing.") == []


def test_text_that_only_looks_like_values_is_read_over():
    hopeless = 'town "\ntown [' + "[" * 5000 + " town {hour " + 'town: "Bodo"'
    assert read_values(hopeless, ["town", "hour"]) == [("town", "Bodo")]


def judge(query, inputs):
    data = {"query": query, "conversation": [], "description": EFFECTS, "inputs": inputs}
    return ask("judging", data)


@pytest.mark.parametrize(
    ("query", "answerable"),
    [
        ('In "Bodo" at 5, for NO and IS.', True),
        ("In Bodo at 5.0, for NO and IS.", True),
        ("In Bodo at 15, for NO and IS.", False),
        ("In Bodo at 5, for NO.", False),
        ("At 5, for NO and IS.", False),
    ],
)
def test_query_is_answerable_if_it_holds_every_value(query, answerable):
    verdict = judge(query, INPUTS)
    assert verdict["answerable"] is answerable
    assert verdict["natural"] is True
    assert verdict["reason"]


def test_value_that_is_referred_to_need_not_be_said():
    town = {"label": "town", "value": "Bodo", "reference": "the same town as before"}
    assert judge("The same town as before, please.", [town])["answerable"]
    assert not judge("A town, please.", [{**town, "reference": None}])["answerable"]


def test_critic_tells_to_ask_where_a_value_is_missing():
    found = {"kind": "bad_reply", "step": None, "parameter": "hull_number"}
    critique = ask("critiquing", {"difference": found})
    assert critique["kind"] == "bad_reply"
    assert critique["parameter"] == "hull_number"
    assert "hull number" in critique["text"]
    assert "hull_number" not in critique["text"]
