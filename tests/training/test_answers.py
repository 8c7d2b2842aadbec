import json

import pytest

from funreason_agents.training.answers import parse_answer, parse_python_calls

CALL = '<tool_call>\n{"name": "find", "arguments": {"title": "Salt"}}\n</tool_call>'
THOUGHT = "<think>\nLook it up.\n</think>\n\n"
FIND = ("find", {"title": "Salt"})


@pytest.mark.parametrize(
    ("text", "reasoning", "content", "calls"),
    [
        (THOUGHT + CALL, "Look it up.", "", (FIND,)),
        (f"{THOUGHT}{CALL}\n{CALL}<|im_end|>\n", "Look it up.", "", (FIND, FIND)),
        (THOUGHT + "Let me see.\n" + CALL, "Look it up.", "Let me see.", (FIND,)),
        (THOUGHT + "No tool does that.<|im_end|>", "Look it up.", "No tool does that.", ()),
        (CALL, None, "", (FIND,)),
        ("Two\n\nparagraphs, and 1 < 2.", None, "Two\n\nparagraphs, and 1 < 2.", ()),
        ("<think>\na\n\nb <tool_call>?\n</think>\n\nYes", "a\n\nb <tool_call>?", "Yes", ()),
        ("<think>\n\n</think>\n\n" + CALL, None, "", (FIND,)),
        ("<think>\n\n</think>\n\nYes<|im_end|>", None, "Yes", ()),
        (CALL.replace("Salt", "</tool_call>"), None, "", (("find", {"title": "</tool_call>"}),)),
    ],
)
def test_what_the_template_writes_is_read(text, reasoning, content, calls):
    answer = parse_answer(text)
    assert answer.well_formed
    assert (answer.reasoning, answer.content, answer.tool_calls) == (reasoning, content, calls)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        THOUGHT,
        "<think>\n</think>\n\nYes",
        "<think>\n\n</think>\n\n",
        "<think>\n \n</think>\n\nYes",
        "<think>\n\n\n</think>\n\nYes",
        "<think></think>\n\nYes",
        "<think>Look it up.</think>\n\nYes",
        "<think>\nLook it up.\n</think>\nYes",
        "<think>\nLook it up.\n</think>\n\n\nYes",
        "<think>\nnever closed",
        THOUGHT + THOUGHT + "Yes",
        "Look it up.\n</think>\n\nYes",
        " " + THOUGHT + "Yes",
        "Yes\n" + THOUGHT,
        "Yes ",
        "Yes<|im_end|>No<|im_end|>",
        CALL + "\nDone.",
        CALL + "\n\n" + CALL,
        CALL + CALL,
        "Words" + CALL,
        "Words\n\n" + CALL,
        CALL.replace("\n", ""),
        CALL.removesuffix("\n</tool_call>"),
        CALL.replace("}}", "}"),
        CALL.replace('"find"', "find"),
        CALL.replace('"find"', '""'),
        CALL.replace('{"title": "Salt"}', "[]"),
        CALL.replace('{"title": "Salt"}', '"{}"'),
        CALL.replace('"Salt"', "NaN"),
        CALL.replace('"title": "Salt"', '"title": 1, "title": 2'),
        CALL.replace('"arguments"', '"parameters"'),
        CALL.replace('"name"', '"id": 1, "name"'),
        CALL.replace('{"title": "Salt"}', "[" * 20_000),
        "<tool_response>\n5\n</tool_response>",
        "x" * 60_000,
    ],
)
def test_what_the_template_would_not_write_is_malformed(text):
    answer = parse_answer(text)
    assert not answer.well_formed
    assert answer.tool_calls == ()


def test_reasoning_is_kept_where_only_the_call_is_malformed():
    answer = parse_answer(THOUGHT + "<tool_call>\nfind\n</tool_call>")
    assert (answer.reasoning, answer.well_formed) == ("Look it up.", False)
    assert answer.content == "<tool_call>\nfind\n</tool_call>"


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("[f(a=1, b='x'), g()]", (("f", {"a": 1, "b": "x"}), ("g", {}))),
        (" [a.b(ids=[1, (2, 3)], on=True)]\n", (("a.b", {"ids": [1, [2, 3]], "on": True}),)),
        ("[f(a=null, b=[{'k': false}])]", (("f", {"a": None, "b": [{"k": False}]}),)),
    ],
)  # fmt: skip
def test_calls_in_python_are_read(text, calls):
    assert parse_python_calls(text) == calls
    assert json.loads(json.dumps(calls[0][1])) == calls[0][1]


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "f(a=1)", "[f(1)]", "[f(**{'a': 1})]", "[f(a=b)]", "[f(a=g())]", "[f(a=1e999)]",
        "[f(a=b'x')]", "[f(a={1, 2})]", "[f(a=1), 2]", "[f()()]", "[f(a=1)] done", "[f(a=1]",
        "[x for x in f()]", "[f(a=1, a=2)]", "[(lambda: 1)()]", "[f(a=__import__('os'))]",
        "[" + "(" * 5_000 + "]", "[f(a='" + "x" * 60_000 + "')]",
    ],
)  # fmt: skip
def test_what_is_no_list_of_literal_calls_is_not_read(text):
    assert parse_python_calls(text) is None
