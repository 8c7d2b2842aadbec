"""Which text is a call, which only speaks of one, and which is an ordinary reply."""

import pytest

from funreason_agents.refinement.notation import (
    find_written_calls,
    is_writable,
    looks_like_call,
)
from funreason_agents.refinement.responses import read_response
from funreason_agents.refinement.rows import Step
from funreason_agents.refinement.stages import refine_row

OFFERED = {"get_weather", "search"}
WRITTEN = "get_weather(city='Paris')"
READ = ("get_weather", {"city": "Paris"})


@pytest.mark.parametrize(
    "text",
    [
        f"I called {WRITTEN}: it is 18 degrees in Paris.",
        f"I called {WRITTEN}.",
        f"I called this: {WRITTEN}",
        f"It is 18 degrees in Paris. Source: {WRITTEN}",
        f"It is 18 degrees, as {WRITTEN} says.",
        f"I found this by calling {WRITTEN}.",
        f"{WRITTEN} returned 18 degrees.",
        f"`{WRITTEN}` says that it is warm.",
        f"Shall I look it up with {WRITTEN}?",
        f"Should I run this: {WRITTEN}?",
        f"For example: {WRITTEN}",
        f"To see it yourself you can use: {WRITTEN}",
        f"Let me know whether I may try it with {WRITTEN}.",
        f"Here it is: {WRITTEN}. It is 18 degrees.",
        f"Here it is: {WRITTEN}, which differs from search(query='Paris').",
        f"I made this call: {WRITTEN}",
        f"The answer is from: {WRITTEN}",
        f"I asked for it, {WRITTEN}",
        f"I will not call {WRITTEN}.",
        "My search (query: shoes) found 3 pairs.",
        "My search (query: shoes).",
        "Here are the results of my search (query: shoes, size: 40).",
    ],
)
def test_a_reply_may_speak_of_a_call(text):
    assert find_written_calls(text, OFFERED) == []
    response = read_response({"content": text}, OFFERED)
    assert (response.form, response.text) == ("text", text)


@pytest.mark.parametrize(
    "text",
    [
        WRITTEN,
        f"[{WRITTEN}]",
        f"Sure, here it is: [{WRITTEN}]",
        f"Sure: `{WRITTEN}`.",
        f"I look that up. {WRITTEN}",
        f"I look that up.\n\n- {WRITTEN}",
        f"I have what you called for earlier. Now the weather:\n{WRITTEN}",
        f"I will look it up.\n```python\n{WRITTEN}\n```",
        f"I'll call {WRITTEN}.",
        f"I\u2019ll call {WRITTEN}",
        f"I made a plan, and look for an example or source first: {WRITTEN}",
        f"Let me now use the function {WRITTEN}",
        f"Sure. Calling {WRITTEN}",
        f"Okay \u2192 {WRITTEN}",
        f"Look-up \u2014 \u201c{WRITTEN}\u201d",
        f"I need to call {WRITTEN}<|im_end|>",
        f"Here it is:\n<tool_call>{WRITTEN}</tool_call>",
        'Thought: I need it.\nAction: get_weather\nAction Input: {"city": "Paris"}',
    ],
)
def test_a_call_after_a_lead_in_is_one(text):
    assert find_written_calls(text, OFFERED) == [READ]
    assert read_response({"content": text}, OFFERED).form == "call"


def test_several_calls_after_a_lead_in():
    second = ("search", {"query": "hats"})
    for join in (", ", "\n", "; ", " and ", "\n- ", "\n2. "):
        text = f"Both at once: {WRITTEN}{join}search(query='hats')"
        assert find_written_calls(text, OFFERED) == [READ, second]
    assert find_written_calls(f"First: {WRITTEN} or else search(query='hats')", OFFERED) == []


def test_a_call_that_was_made_is_only_spoken_of():
    text = f"The weather of Paris, as I got it: {WRITTEN}"
    assert find_written_calls(text, OFFERED) == [READ]
    assert find_written_calls(text, OFFERED, [READ]) == []
    assert find_written_calls(text, OFFERED, [("get_weather", {"city": "Rome"})]) == [READ]
    # Nothing but the call is one, since it may be made twice.
    assert find_written_calls(WRITTEN, OFFERED, [READ]) == [READ]


def test_a_reply_that_names_its_call_is_saved_as_it_is():
    function = {"name": "get_weather", "arguments": {"city": "Paris"}}
    prompt = [
        {"role": "user", "content": "How warm is Paris?"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "function": function}]},
        {"role": "tool", "tool_call_id": "c", "content": '{"degrees": 18}'},
    ]
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools = [{"name": "get_weather", "description": "Weather.", "parameters": parameters}]
    for said in (f"I called {WRITTEN}: it is 18 degrees in Paris.", f"18 degrees: {WRITTEN}"):
        row = {"prompt": prompt, "completion": [{"content": said}], "tools": tools}
        outcome = refine_row(row)
        assert (outcome["outcome"], outcome["form"]) == ("saved", "text")
        assert "completion" not in outcome
        assert Step(row, row["completion"][0]).response.text == said


@pytest.mark.parametrize(
    "text",
    [
        "```python\nprint(sum([1, 2]))\nfor each in range(3): pass\n```",
        '```json\n{"total": 3}\n```\nThat is all of it.',
        '{"name": "Ann", "age": 3}',
        "[{'name': 'Ann'}, {'name': 'Bob'}]",
        "Scene one.\nAction: Bob calls Ann.",
        "Action: search the house for Ann.",
        "[Note (of the author)]: it is late.",
        "read_csv(path) reads a file.",
        "requests.get(url) is what you want.",
        "I looked for shoes. The search is over.",
    ],
)
def test_ordinary_replies_are_not_meant_as_calls(text):
    assert not looks_like_call(text, OFFERED)
    assert read_response({"content": text}, OFFERED).form == "text"


@pytest.mark.parametrize(
    "text",
    [
        "```python\nresult = get_weather('Paris')\n```",
        '```json\n{"name": "get_weather", "arguments": {\'city\'\n```',
        '{"name": "get_weather", "city": "Paris"}',
        "Action: get_weather[Paris]",
        "Action: get_weather\nAction Input: Paris",
        "[get_weather('Paris')]",
        "get_weather('Paris')",
        "get_weather('Paris') get_weather('Rome')",
        "get_weather(city='Paris",
        f"{WRITTEN}\nThis gets the weather.",
        '<tool_call>{"name": "get_',
        "[TOOL_CALLS] lookup",
        '{"name": "lookup", "arguments": {"city": "Par',
        "Action: lookup\nAction Input: {'city': 'Par",
    ],
)
def test_what_is_meant_as_a_call_is_not_kept_as_text(text):
    assert looks_like_call(text, OFFERED)
    assert read_response({"content": text}, OFFERED).form == "unreadable"


def test_words_beside_a_call_are_kept_unless_they_are_one():
    calls = [{"id": "c", "function": {"name": "search", "arguments": {}}}]
    code = "```python\nprint(3)\n```"
    assert read_response({"content": code, "tool_calls": calls}, OFFERED).text == code
    twice = read_response({"content": "[search('x')]", "tool_calls": calls}, OFFERED)
    assert (twice.text, twice.flaws) == ("", ("call_in_content",))


def test_what_cannot_be_written_is_no_answer():
    function = {"name": "search", "arguments": r'{"query": "\ud800"}'}
    response = read_response({"content": "", "tool_calls": [{"function": function}]}, OFFERED)
    assert (response.form, response.calls) == ("unreadable", ())
    assert read_response({"content": "half: \ud83d"}, OFFERED).form == "unreadable"
    assert read_response({"content": "whole: \U0001f600"}, OFFERED).form == "text"
    assert not is_writable(float("inf"))


def test_long_text_is_read_in_good_time():
    for text in ("\n" * 40_000 + "x", "f(" * 20_000, "and " * 12_000, "<|a" * 15_000):
        assert read_response({"content": f"a{text}search(query='x')"}, OFFERED).form == "text"
