"""The conversation as state, as chat messages, and as executed calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from funreason_agents.schemas.base import parse_result
from funreason_agents.schemas.tools import ExecutedCall, ToolResult
from funreason_agents.schemas.trajectory import Message, calls_of

Json = dict[str, Any]


def to_state(query: str, attempt: Json, key: str) -> list[Json]:
    """Return a turn's query and the messages of its attempt (as JSON) as items of a delta channel.

    Each is wrapped, because LangGraph would take a bare dict with a `role` for a chat message.
    """
    messages = [{"role": "user", "content": query}, *attempt["messages"]]
    return [
        {"key": f"{key}/{number}", "message": _without_empty(message)}
        for number, message in enumerate(messages)
    ]


def _without_empty(message: Json) -> Json:
    return {name: value for name, value in message.items() if value not in (None, [], False, "")}


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


def to_history(messages: Sequence[Message]) -> list[ExecutedCall]:
    """Return the calls of the conversation with their results; state hashes are not known."""
    calls = {call.id: call for call in calls_of(messages)}
    history = []
    for message in messages:
        call = calls.get(message.tool_call_id or "")
        if message.role != "tool" or call is None:
            continue
        content = parse_result(message.content)
        result = ToolResult(call_id=call.id, content=content, is_error=message.is_error)
        history.append(ExecutedCall(call=call, result=result, state_before="", state_after=""))
    return history
