"""Rows of anybody's: tools in other forms, calls and text that are no use, prompts without ids."""

import json

import pytest

from funreason_agents.cli.refine import refine_data
from funreason_agents.models.client import CallScope, ModelClient
from funreason_agents.refinement.agents import make_student
from funreason_agents.refinement.checks import find_first
from funreason_agents.refinement.rows import (
    Step,
    calls_of_prompt,
    find_row_problem,
    read_rows,
    read_tools,
    to_step_rows,
    to_tool,
)
from funreason_agents.refinement.stages import refine_row
from funreason_agents.testing.scripted import ScriptedChatModel

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
XLAM = {
    "name": "get_weather",
    "description": "Weather of a city.",
    "parameters": {
        "city": {"type": "str", "description": "The city."},
        "days": {"type": "int, optional", "description": "How many.", "default": 1},
        "fields": {"type": "List[str]", "description": "Which."},
    },
}
ASK = {"role": "user", "content": "How will the weather of Paris be for 3 days?"}


def answer(**arguments):
    function = {"name": "get_weather", "arguments": arguments or {"city": "Paris"}}
    call = {"id": "c", "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def row(prompt=(ASK,), message=None, **more):
    made = {"prompt": list(prompt), "completion": [message or answer()], "tools": [TOOL], **more}
    return {key: value for key, value in made.items() if value != "leave out"}


TEXT = {"role": "assistant", "content": "It will be warm."}


@pytest.mark.parametrize("tools", [[TOOL], json.dumps([TOOL]), json.dumps([XLAM])])
def test_tools_may_be_text(tools):
    given = row(tools=tools)
    assert find_row_problem(given) is None
    assert refine_row(given)["outcome"] == "saved"


@pytest.mark.parametrize("tools", [None, "leave out", [], "", "[]", "null"])
def test_tools_may_be_missing(tools):
    given = row(message=TEXT, tools=tools)
    assert find_row_problem(given) is None
    assert refine_row(given)["outcome"] == "saved"
    assert refine_row(row(tools=tools))["problem"] == "unknown_tool"
    (step,) = to_step_rows(given)
    assert step["tools"] == []
    (step,) = to_step_rows({"messages": [ASK, TEXT], "tools": given.get("tools")})
    assert step["tools"] == []


@pytest.mark.parametrize("tools", ["[", "3", 3, '["x"]', '{"name": "x"}', [{"function": None}]])
def test_tools_that_are_none_are_named(tools):
    given = row(tools=tools)
    assert find_row_problem(given) == "no_tools"
    assert to_step_rows(given) == [given]


def test_rows_of_files_have_their_tools_as_a_list(tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [row(tools=json.dumps([TOOL])), {"messages": [ASK, TEXT], "tools": json.dumps([TOOL])}]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    rows, _ = read_rows(path)
    assert [each["tools"] for each in rows] == [[TOOL], [TOOL]]
    assert list(rows[0]) == ["prompt", "completion", "tools"]
    assert read_tools([TOOL]) == [TOOL]


def found(message, tool):
    given = row(message=message, tools=[tool])
    finding = find_first(Step(given, message))
    return finding and finding.problem


def test_parameters_without_a_schema_around_them_are_its_properties():
    assert found(answer(city="Paris", days=3), XLAM) is None
    assert found(answer(city="Paris", days="3"), XLAM) == "wrong_type"
    assert found(answer(city="Paris", gift=True), XLAM) == "unknown_parameter"
    names = {"type": {"type": "str"}, "properties": {"description": "Which.", "type": "dict"}}
    assert to_tool({"name": "f", "parameters": names}).properties == names


@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "object"},
        {"type": "object", "properties": {"type": {"type": "string"}}},
        {"properties": {"type": {"type": "string"}, "city": {"type": "string"}}},
        {"additionalProperties": {"type": "string"}},
    ],
)
def test_schemas_stay_as_they_are(parameters):
    assert to_tool({"name": "f", "parameters": parameters}).parameters == parameters


@pytest.mark.parametrize(
    "calls", [[{"function": None}], [None], "x", {"a": 1}, [{"function": {"name": None}}], [{}]]
)
def test_calls_of_the_prompt_that_cannot_be_read_are_a_problem(calls):
    before = {"role": "assistant", "content": "", "tool_calls": calls}
    given = row([ASK, before, ASK])
    assert find_row_problem(given) == "unreadable_call_in_prompt"
    assert refine_row(given)["outcome"] == "dropped"


@pytest.mark.parametrize(
    "calls",
    [
        None,
        [],
        [{"name": "get_weather", "arguments": {"city": "Rome"}}],
        [{"function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}],
        [{"function": {"name": "get_weather", "arguments": None}}],
    ],
)
def test_calls_of_the_prompt_in_other_forms_are_read(calls):
    before = {"role": "assistant", "content": "", "tool_calls": calls}
    assert refine_row(row([ASK, before, ASK]))["outcome"] == "saved"
    read = calls_of_prompt([before])
    assert read in ([], [("get_weather", {"city": "Rome"})], [("get_weather", {})])


def test_text_that_cannot_be_written_is_dropped_and_counted(tmp_path):
    half = {"role": "user", "content": "Paris \ud83d?"}
    hidden = json.dumps([{**XLAM, "description": "\ud800"}])
    bad = [row([half]), row(tools=hidden), {"messages": [half, TEXT], "tools": [TOOL]}]
    for each in bad[:2]:
        assert find_row_problem(each) == "unwritable"
    path = tmp_path / "rows.jsonl"
    lines = [*map(json.dumps, [row(), *bad]), json.dumps(row()).replace('"Paris"', "1e999")]
    path.write_text("\n".join(lines), encoding="utf-8")
    report = refine_data(path, out=tmp_path / "out")
    assert report["counts"]["problems"] == {"0: unwritable": 4}
    assert report["files"] == {"kept.jsonl": 1, "hard.jsonl": 0, "dropped.jsonl": 4}
    dropped = (tmp_path / "out" / "dropped.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(json.loads(dropped[0])["unwritable"]) == bad[0]
    whole = {"role": "user", "content": "Paris \U0001f600?"}
    assert find_row_problem(json.loads(json.dumps(row([whole])))) is None


def student_sees(prompt, tools):
    model = ScriptedChatModel(respond=lambda *_: "It is upstairs.")
    student = make_student(ModelClient("student", model), CallScope(thread_id="t", node="n"))
    answers = student([{"prompt": prompt, "tools": tools}], 1)
    return answers[0], model.calls[0] if model.calls else None


def test_a_student_is_shown_prompts_without_ids_and_content():
    calls = [{"function": {"name": "get_weather", "arguments": {"city": c}}} for c in "AB"]
    prompt = [
        ASK,
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "content": "warm"},
        {"role": "tool", "content": {"degrees": 3}},
        {"role": "assistant", "content": None, "tool_calls": [{**calls[0], "id": "mine"}]},
        {"role": "tool", "tool_call_id": "mine", "content": "cold"},
        {"role": "tool", "content": "of no call"},
        ASK,
    ]
    assert find_row_problem(row(prompt)) is None
    answers, seen = student_sees(prompt, json.dumps([XLAM]))
    assert answers == [{"role": "assistant", "content": "It is upstairs."}]
    sent = seen.messages
    first, second = (call["id"] for call in sent[1].tool_calls)
    assert first != second
    assert [sent[number].tool_call_id for number in (2, 3, 5)] == [first, second, "mine"]
    assert sent[6].tool_call_id
    assert sent[1].text == sent[4].text == ""
    assert json.loads(sent[3].text) == {"degrees": 3}


def test_results_with_ids_keep_them_whatever_their_order():
    calls = [{"id": i, "function": {"name": "get_weather", "arguments": "{}"}} for i in "ab"]
    results = [{"role": "tool", "tool_call_id": i, "content": i} for i in "ba"]
    _, seen = student_sees([ASK, {"role": "assistant", "tool_calls": calls}, *results], [TOOL])
    assert [message.tool_call_id for message in seen.messages[2:]] == ["b", "a"]


@pytest.mark.parametrize("odd", [{"role": "observation", "content": "x"}, {"content": "x"}])
def test_a_prompt_that_no_chat_model_knows_has_no_answer(odd):
    assert student_sees([ASK, odd], [TOOL]) == ([], None)
