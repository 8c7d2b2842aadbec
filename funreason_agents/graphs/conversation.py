"""The conversation as state, as chat messages, as facts, and as a session's history."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from funreason_agents.schemas.tools import ExecutedCall, ToolCall, ToolResult
from funreason_agents.schemas.trajectory import Message
from funreason_agents.verification.derivations import Facts, facts_of

Json = dict[str, Any]


def to_state(messages: Sequence[Message], turn: int) -> list[Json]:
    """Return `messages` of one turn as items of a delta channel.

    Each is wrapped, because LangGraph would take a bare dict with a `role` for a chat message.
    """
    return [
        {"key": f"{turn}/{number}", "message": message.model_dump(mode="json", exclude_defaults=True)}
        for number, message in enumerate(messages)
    ]


def from_state(items: Sequence[Json]) -> tuple[Message, ...]:
    """Return the messages that `to_state` made items of."""
    return tuple(Message.model_validate(item["message"]) for item in items)


def to_chat(messages: Sequence[Message]) -> list[BaseMessage]:
    """Return `messages` as LangChain messages. Reasoning of earlier answers is left out."""
    return [_to_chat(message) for message in messages]


def _to_chat(message: Message) -> BaseMessage:
    if message.role == "user":
        return HumanMessage(message.content)
    if message.role == "tool":
        status = "error" if message.is_error else "success"
        return ToolMessage(
            message.content,
            tool_call_id=message.tool_call_id or "",
            name=message.name,
            status=status,
        )
    calls = [{"name": c.name, "args": c.arguments, "id": c.id} for c in message.tool_calls]
    return AIMessage(message.content, tool_calls=calls)


def parse_content(text: str) -> Any:
    """Return the content that `result_text` wrote."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def to_facts(messages: Sequence[Message]) -> Facts:
    """Return what the conversation said and showed."""
    contents = [parse_content(m.content) for m in messages if m.role == "tool"]
    return facts_of(messages, contents)


def executed_calls(messages: Sequence[Message]) -> tuple[ToolCall, ...]:
    """Return the calls of the conversation, in order."""
    return tuple(call for message in messages for call in message.tool_calls)


def to_history(messages: Sequence[Message]) -> list[ExecutedCall]:
    """Return the calls of the conversation with their results; state hashes are not known."""
    calls = {call.id: call for message in messages for call in message.tool_calls}
    history = []
    for message in messages:
        call = calls.get(message.tool_call_id or "")
        if message.role != "tool" or call is None:
            continue
        content = parse_content(message.content)
        result = ToolResult(call_id=call.id, content=content, is_error=message.is_error)
        history.append(ExecutedCall(call=call, result=result, state_before="", state_after=""))
    return history
