"""A small OpenAI-compatible server on 127.0.0.1; the offline model answers, or nobody does."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from funreason_agents.models.calls import split_reasoning
from funreason_agents.models.offline.model import answer_messages


class FakeOpenAI(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests = []
        """(headers, body) of each request."""
        self.refuse_with = None
        """Status with which every request is refused, its key repeated in the body."""
        self.told = None
        """(content type, text) with which every request is answered."""
        self.delay = 0.0
        self.reasoning_field = "reasoning_content"

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


@contextmanager
def serve_openai():
    server = FakeOpenAI()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: FakeOpenAI

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((headers, body))
        time.sleep(self.server.delay)
        if self.server.refuse_with:
            said = f"refused: {self.headers['Authorization']}"
            self._answer(self.server.refuse_with, {"error": {"message": said}})
            return
        if self.server.told:
            self._write(200, *self.server.told)
            return
        answer = answer_messages(_to_messages(body["messages"]), body.get("tools") or [])
        self._answer(200, _to_completion(answer, body["model"], self.server.reasoning_field))

    def _answer(self, status, body):
        self._write(status, "application/json", json.dumps(body))

    def _write(self, status, content_type, text):
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        try:
            self.wfile.write(data)
        except OSError:
            self.close_connection = True  # the client was ended while it waited

    def log_message(self, *arguments):
        pass


def _to_messages(chat):
    messages, names = [], {}
    for each in chat:
        text = each.get("content") or ""
        if each["role"] == "system":
            messages.append(SystemMessage(text))
        elif each["role"] == "user":
            messages.append(HumanMessage(text))
        elif each["role"] == "tool":
            name = names[each["tool_call_id"]]
            messages.append(ToolMessage(text, tool_call_id=each["tool_call_id"], name=name))
        else:
            calls = [
                {
                    "name": call["function"]["name"],
                    "args": json.loads(call["function"]["arguments"]),
                    "id": call["id"],
                }
                for call in each.get("tool_calls") or []
            ]
            names |= {call["id"]: call["name"] for call in calls}
            messages.append(AIMessage(text, tool_calls=calls))
    return messages


def _to_completion(answer, model, reasoning_field):
    reasoning, text = split_reasoning(answer)
    message = {"role": "assistant", "content": text, reasoning_field: reasoning}
    if answer.tool_calls:
        message["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": json.dumps(call["args"])},
            }
            for call in answer.tool_calls
        ]
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
