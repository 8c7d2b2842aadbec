"""Writes down each call that a model got: one line of JSON, kept when a run is taken up again."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import LLMResult

SHOWN = 300
"""Characters of an answer that the results show."""


class Recorder(BaseCallbackHandler):
    """Appends the calls that one role made to a file."""

    def __init__(self, role: str, path: Path) -> None:
        """Write to `path`, under the name of `role`."""
        self._role = role
        self._path = path
        self._lock = threading.Lock()
        self._open: dict[UUID, tuple[float, dict[str, Any]]] = {}

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        **kwargs: Any,
    ) -> None:
        """Note what is asked."""
        chat = messages[0]
        asked = {
            "messages": len(chat),
            # Those who are asked for an object see an answer of theirs only to mend it.
            "asked_again": self._role != "reasoning" and any(m.type == "ai" for m in chat),
            "last_message": str(chat[-1].content),
        }
        self._open[run_id] = time.monotonic(), asked

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Note the answer."""
        message: Any = getattr(response.generations[0][0], "message", None) or AIMessage("")
        usage = message.usage_metadata or {}
        self._write(run_id, {
            "ending": message.response_metadata.get("finish_reason"),
            "answer": str(message.content),
            "tool_calls": [[call["name"], call["args"]] for call in message.tool_calls],
            "broken_tool_calls": len(message.invalid_tool_calls),
            "input_tokens": usage.get("input_tokens", 0),
            "output_tokens": usage.get("output_tokens", 0),
        })  # fmt: skip

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Note why there is no answer."""
        self._write(run_id, {"error": type(error).__name__, "message": str(error)[:500]})

    def _write(self, run_id: UUID, came: dict[str, Any]) -> None:
        started, asked = self._open.pop(run_id)
        seconds = round(time.monotonic() - started, 2)
        line = json.dumps({"role": self._role, "seconds": seconds, **asked, **came})
        with self._lock, self._path.open("a", encoding="utf-8") as out:
            out.write(line + "\n")


def count_calls(path: Path) -> dict[str, dict[str, Any]]:
    """Return what the calls in `path` came to, by role."""
    by_role: dict[str, list[dict[str, Any]]] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            call = json.loads(line)
            by_role.setdefault(call["role"], []).append(call)
    return {role: _count(calls) for role, calls in sorted(by_role.items())}


def _count(calls: list[dict[str, Any]]) -> dict[str, Any]:
    answered = [call for call in calls if "answer" in call]
    seconds = [call["seconds"] for call in calls]
    return {
        "calls": len(calls),
        "answered": len(answered),
        "errors": dict(Counter(call["error"] for call in calls if "error" in call)),
        "asked_again": sum(call["asked_again"] for call in calls),
        "truncated": sum(call["ending"] == "length" for call in answered),
        "with_tool_calls": sum(bool(call["tool_calls"]) for call in answered),
        "with_broken_tool_calls": sum(bool(call["broken_tool_calls"]) for call in answered),
        "input_tokens": sum(call["input_tokens"] for call in answered),
        "output_tokens": sum(call["output_tokens"] for call in answered),
        "seconds_median": round(statistics.median(seconds), 1),
        "seconds_longest": round(max(seconds), 1),
        "first_answers": [_show(call) for call in answered[:3]],
    }


def _show(call: dict[str, Any]) -> str:
    calls = json.dumps(call["tool_calls"]) if call["tool_calls"] else ""
    return (str(call["answer"]) + calls)[:SHOWN]
