"""An OpenAI-compatible server that fails on purpose, in the same way each time.

The offline model answers. Which requests fail, and how, is decided by a hash: of the request and
of how often it came for transport faults, so that sending it again helps in the end; of the
request alone for content faults, so that it does not matter in which order requests arrive.
"""

import hashlib
import importlib.util
import json
import socket
import struct
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from funreason_agents.models.offline.model import answer_messages

TRANSPORT = (
    "rate_limit", "status_408", "status_500", "status_502", "status_503", "no_answer", "reset",
    "empty_body", "cut_body", "garbled_body", "error_page",
)  # fmt: skip
CONTENT = (
    "truncated", "empty", "content_filter", "malformed", "wrong_schema", "repetition",
    "unknown_tool", "wrong_types", "many_calls",
)  # fmt: skip
PERMANENT = ("status_401", "status_404", "no_quota")


def _load_fake_openai():
    path = Path(__file__).with_name("fake_openai.py")
    spec = importlib.util.spec_from_file_location("fake_openai", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fake_openai = _load_fake_openai()


class FaultServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, faults=(), rate=0.2, seed=0):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faults, self.rate, self.seed = tuple(faults), rate, seed
        self.after = 0
        """Requests that are answered before any fails."""
        self.injected = Counter()
        self.requests = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.accepts_schema = self.accepts_tools = True
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self._seen = Counter()

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    def draw(self, body):
        """Return the fault of this request, if it has one."""
        digest = hashlib.sha256(body).hexdigest()
        with self.lock:
            self.requests += 1
            self._seen[digest] += 1
            attempt = self._seen[digest]
            if self.requests <= self.after or not self.faults:
                return None
        transport = [fault for fault in self.faults if fault in TRANSPORT]
        others = [fault for fault in self.faults if fault not in TRANSPORT]
        share = self.rate * len(transport) / len(self.faults)
        fault = self._pick(transport, share, f"{digest}{attempt}")
        fault = fault or self._pick(others, self.rate - share, digest)
        if fault:
            with self.lock:
                self.injected[fault] += 1
        return fault

    def _pick(self, faults, rate, key):
        drawn = hashlib.sha256(f"{self.seed}/{key}".encode()).digest()
        if not faults or int.from_bytes(drawn[:4]) / 2**32 >= rate:
            return None
        return faults[int.from_bytes(drawn[4:8]) % len(faults)]

    def handle_error(self, request, client_address):
        pass  # clients that are stopped leave in the middle


@contextmanager
def serve_faults(faults=(), rate=0.2, seed=0):
    server = FaultServer(faults, rate, seed)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: FaultServer

    def do_POST(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            self.server.in_flight += 1
            self.server.most_in_flight = max(self.server.most_in_flight, self.server.in_flight)
        try:
            self._serve(data)
        finally:
            with self.server.lock:
                self.server.in_flight -= 1

    def _serve(self, data):
        body = json.loads(data)
        if body.get("response_format") and not self.server.accepts_schema:
            return self._refuse(400, "response_format of this type is not supported")
        if body.get("tools") and not self.server.accepts_tools:
            return self._refuse(400, "auto tool choice requires --enable-auto-tool-choice")
        fault = self.server.draw(data)
        if fault in TRANSPORT or fault in PERMANENT:
            return self._break(fault, body)
        completion = self._complete(body)
        if fault:
            _spoil(completion, fault, bool(body.get("tools")))
        return self._send(200, json.dumps(completion).encode())

    def _complete(self, body):
        messages = fake_openai._to_messages(body["messages"])
        answer = answer_messages(messages, body.get("tools") or [])
        completion = fake_openai._to_completion(answer, body["model"], "reasoning_content")
        sent, received = len(json.dumps(body)) // 4, len(json.dumps(completion)) // 4
        completion["usage"] = {
            "prompt_tokens": sent,
            "completion_tokens": received,
            "total_tokens": sent + received,
        }
        return completion

    def _break(self, fault, body):
        if fault == "rate_limit":
            return self._refuse(429, "slow down", headers={"Retry-After": "0.01"})
        if fault == "no_quota":
            return self._refuse(429, "You exceeded your current quota", code="insufficient_quota")
        if fault.startswith("status_"):
            return self._refuse(int(fault.removeprefix("status_")), "sorry")
        if fault == "no_answer":
            self.server.closing.wait(30)
            return None
        if fault == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            return self.connection.close()
        if fault == "empty_body":
            return self._send(200, b"")
        if fault == "error_page":
            return self._send(200, b"<html>Bad Gateway</html>", kind="text/html")
        data = json.dumps(self._complete(body)).encode()
        if fault == "garbled_body":
            return self._send(200, data[: len(data) // 2])
        return self._send(200, data[: len(data) // 2], length=len(data))

    def _refuse(self, status, message, *, code=None, headers=None):
        error = {"error": {"message": message, "type": "error", "code": code}}
        return self._send(status, json.dumps(error).encode(), headers=headers)

    def _send(self, status, data, *, kind="application/json", length=None, headers=None):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass


def _spoil(completion, fault, has_tools):
    """Turn a good answer into one with the fault of that name."""
    choice = completion["choices"][0]
    message = choice["message"]
    if fault == "truncated":
        choice["finish_reason"] = "length"
        message["content"] = message["content"][: len(message["content"]) // 2]
    elif fault == "empty":
        message.update(content="", tool_calls=None)
    elif fault == "content_filter":
        choice["finish_reason"] = "content_filter"
        message.update(content="", tool_calls=None)
    elif fault == "repetition":
        choice["finish_reason"] = "length"
        message.update(content="and again " * 20_000, tool_calls=None)
    elif not has_tools:
        texts = {"malformed": '{"query": "cut', "wrong_schema": '{"unasked": [1, 2]}'}
        message["content"] = texts.get(fault, message["content"])
    elif message.get("tool_calls"):
        _spoil_calls(message, fault)


def _spoil_calls(message, fault):
    first = message["tool_calls"][0]
    if fault == "malformed":
        first["function"]["arguments"] = '{"a": '
    elif fault == "wrong_schema":
        first["function"]["arguments"] = '{"unasked": 1}'
    elif fault == "unknown_tool":
        first["function"]["name"] = "rm_rf"
    elif fault == "wrong_types":
        arguments = {key: [[None]] for key in json.loads(first["function"]["arguments"])}
        first["function"]["arguments"] = json.dumps(arguments)
    else:
        message["tool_calls"] = [{**first, "id": f"c{number}"} for number in range(3000)]
