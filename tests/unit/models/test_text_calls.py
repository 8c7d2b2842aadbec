import json

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from funreason_agents.models.text_calls import MOST_CHARACTERS, find_text_calls, to_text_chat

NAMES = {"find", "Shop.pay"}
FIND = ("find", {"name": "x"})


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "find", "arguments": {"name": "x"}}</tool_call>',
        '<tool_call>\n{"name": "find", "arguments": {"name": "x"}}\n</tool_call>',
        '<tool_call>{"name": "find", "arguments": {"name": "x"}}',
        '{"name": "find", "arguments": {"name": "x"}}',
        '{"name": "find", "parameters": {"name": "x"}}',
        '{"function": {"name": "find", "arguments": "{\\"name\\": \\"x\\"}"}}',
        '[{"name": "find", "arguments": {"name": "x"}}]',
        '```json\n{"name": "find", "arguments": {"name": "x"}}\n```',
        "[find(name='x')]",
        '```python\n[find(name="x")]\n```',
    ],
)
def test_call_is_read_in_each_notation(text):
    assert find_text_calls(text, NAMES) == ([FIND], "")


def test_text_around_tagged_calls_is_kept():
    call = '<tool_call>{"name": "find", "arguments": {"name": "x"}}</tool_call>'
    assert find_text_calls(f"Let me look. {call}{call}", NAMES) == ([FIND, FIND], "Let me look.")


def test_python_values_become_json_values():
    text = "[Shop.pay(a=1, b=-2.5, c=[True, None], d=(1, 2), e={'k': false}, f=true)]"
    calls, _ = find_text_calls(text.replace("false", "False"), NAMES)
    assert calls == [
        (
            "Shop.pay",
            {"a": 1, "b": -2.5, "c": [True, None], "d": [1, 2], "e": {"k": False}, "f": True},
        )
    ]


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "rm", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "find", "argu',
        '{"name": "find"}',
        '{"name": "find", "arguments": 3}',
        'I could say {"name": "find", "arguments": {"name": "x"}}.',
        "[find(name='x'), rm()]",
        "[find('x')]",
        "[find(**{'name': 'x'})]",
        "[find(name=open('/etc/passwd'))]",
        "[find(name=__import__('os').getpid())]",
        "[find(name={1, 2})]",
        "[find(name=1e999)]",
        "[]",
        "",
        "A plain reply.",
        "[" * 10_000 + "]",
        "[find(name=" + "-" * 20_000 + "1)]",
        '{"a":' * 9_000,
        '{"name": "find", "arguments": {"name": "' + "x" * MOST_CHARACTERS + '"}}',
    ],
)
def test_anything_else_stays_text(text):
    assert find_text_calls(text, NAMES) == ([], text)


def test_chat_for_a_model_without_tools_says_the_same_in_text():
    tool = {"type": "function", "function": {"name": "find", "parameters": {}}}
    call = {"name": "find", "args": {"name": "x"}, "id": "1"}
    chat = to_text_chat(
        [
            SystemMessage("Be good."),
            HumanMessage("Find x."),
            AIMessage("", tool_calls=[call, {**call, "id": "2"}]),
            ToolMessage("7", tool_call_id="1"),
            ToolMessage("8", tool_call_id="2"),
        ],
        [tool],
    )
    assert [message.type for message in chat] == ["system", "human", "ai", "human"]
    assert chat[0].text.startswith("Be good.")
    assert json.dumps(tool["function"]) in chat[0].text
    assert find_text_calls(chat[2].text, NAMES)[0] == [FIND, FIND]
    assert chat[3].text.count("<tool_response>") == 2
    assert all(not getattr(message, "tool_calls", None) for message in chat)


def test_chat_without_a_system_message_gets_one():
    chat = to_text_chat([HumanMessage("hi")], [])
    assert [message.type for message in chat] == ["system", "human"]
