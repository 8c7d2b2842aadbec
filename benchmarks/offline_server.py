"""An OpenAI-compatible server in a process of its own, for benchmarks; the offline model answers.

    python benchmarks/offline_server.py

It prints its address. The first part of a path is the delay of an answer in seconds:
`http://127.0.0.1:PORT/0.1/v1` answers after 100 ms. An answer is worked out once for each body.
`GET /requests` returns the bodies seen so far, `GET /answers` the times of all answers (of the
clock `time.monotonic`, which the processes of one machine share) since it was last asked.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from langchain_core.messages import ToolMessage, convert_to_messages

from funreason_agents.models.offline.model import answer_messages

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class Answers:
    """What the server has been asked, and when it answered."""

    def __init__(self) -> None:
        self.by_body: dict[bytes, bytes] = {}
        self.times: list[float] = []

    def find(self, body: bytes) -> bytes:
        """Return the answer to `body`."""
        if body not in self.by_body:
            self.by_body[body] = json.dumps(complete(json.loads(body))).encode()
        return self.by_body[body]

    def report(self, path: str) -> bytes:
        """Return what a GET of `path` asks for."""
        if path == "/requests":
            return b"[%s]" % b",".join(self.by_body)
        times, self.times = self.times, []
        return json.dumps(times).encode()


def complete(body: dict[str, Any]) -> dict[str, Any]:
    """Return the completion that the offline model gives."""
    messages = convert_to_messages(body["messages"])
    names = {c["id"]: c["name"] for m in messages for c in getattr(m, "tool_calls", ())}
    for each in messages:
        if isinstance(each, ToolMessage):
            each.name = names[each.tool_call_id]
    answer = answer_messages(messages, body.get("tools") or [])
    blocks = answer.content_blocks
    thoughts = [str(b["reasoning"]) for b in blocks if b["type"] == "reasoning"]
    calls = [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": json.dumps(call["args"])},
        }
        for call in answer.tool_calls
    ]
    reasoning = "\n".join(thoughts) or None
    message: dict[str, Any] = {
        "role": "assistant",
        "content": str(answer.text),
        "reasoning_content": reasoning,
    }
    if calls:
        message["tool_calls"] = calls
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


class Connection(asyncio.Protocol):
    """One kept-alive connection: requests come one at a time."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._data = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer as soon as a request is complete."""
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        if not end:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        lengths = [line for line in lines if line.lower().startswith("content-length:")]
        if lengths and len(body) < int(lengths[0].partition(":")[2]):
            return
        self._data = b""
        method, path, _ = first.split(" ")
        if method == "GET":
            self._send(self._answers.report(path))
            return
        arrived = time.monotonic()
        answer = self._answers.find(body)
        delay = float(path.split("/")[1]) - (time.monotonic() - arrived)
        asyncio.get_running_loop().call_later(max(delay, 0.0), self._finish, answer)

    def _finish(self, answer: bytes) -> None:
        self._answers.times.append(time.monotonic())
        self._send(answer)

    def _send(self, body: bytes) -> None:
        if not self._transport.is_closing():  # a client may be ended while it waits
            self._transport.write(HEAD % len(body) + body)


async def main() -> None:
    """Serve until the process is ended."""
    answers = Answers()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(answers), "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
