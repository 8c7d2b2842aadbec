"""Worlds in worker processes: a hang or crash ends the worker, never the run.

Also how an environment lives in another Python environment than ours. The protocol is in
`environments.serve`. A worker holds many sessions and answers one request at a time.
"""

from __future__ import annotations

import atexit
import itertools
import json
import os
import selectors
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import Any

from funreason_agents.environments.base import BackendLostError, Environment
from funreason_agents.errors import EnvError, ToolTimeoutError
from funreason_agents.schemas.tools import ToolSpec

START_TIMEOUT = 60.0


class Worker:
    """One worker process. `request` may be called from any thread."""

    def __init__(self, command: Sequence[str], timeout: float) -> None:
        self._timeout = timeout
        self._lock = threading.Lock()
        self._buffer = b""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C is for the run, which then ends its workers
            )
        except OSError as exc:
            msg = f"could not start the worker {command[0]!r}: {exc}"
            raise EnvError(msg) from exc
        self.sessions = 0

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def request(self, request: dict[str, Any], *, timeout: float | None = None) -> Any:
        """Send one request and return its answer.

        Raises:
            BackendLostError: the process had ended before.
            ToolTimeoutError: no answer in time; the process has been ended.
            EnvError: the process crashed on this request, or answered with an error.
        """
        what = f"tool {request['name']!r}" if request["op"] == "call" else f"{request['op']!r}"
        with self._lock:
            if not self.alive:
                msg = "the worker process is gone"
                raise BackendLostError(msg)
            limit = timeout or self._timeout
            line = self._exchange(json.dumps(request).encode() + b"\n", limit, what)
        answer = json.loads(line)
        if "error" in answer:
            msg = f"{what} failed in the worker: {answer['error']}"
            raise EnvError(msg)
        return answer["ok"]

    def end(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()

    def _exchange(self, data: bytes, timeout: float, what: str) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except OSError as exc:
            raise self._crashed(what) from exc
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    self.end()
                    msg = f"{what} did not answer in {timeout:g} s; its worker process was ended"
                    raise ToolTimeoutError(msg)
                chunk = os.read(self._process.stdout.fileno(), 1 << 16)
                if not chunk:
                    raise self._crashed(what)
                self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _crashed(self, what: str) -> EnvError:
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read()[-4000:].decode(errors="replace").strip().splitlines()
        last = lines[-1] if lines else f"exit status {self._process.returncode}"
        self.end()
        return EnvError(f"{what} ended its worker process: {last}")


class WorkerPool:
    """Starts workers as sessions need them, up to a limit, and replaces those that ended."""

    def __init__(self, command: Sequence[str], timeout: float, max_workers: int) -> None:
        self._command = tuple(command)
        self._timeout = timeout
        self._max_workers = max_workers
        self._workers: list[Worker] = []
        self._lock = threading.Lock()
        atexit.register(self.close)

    def acquire(self) -> Worker:
        """Return the worker with the fewest sessions, counting one more for it."""
        with self._lock:
            self._workers = [worker for worker in self._workers if worker.alive]
            idle = [worker for worker in self._workers if worker.sessions == 0]
            if not idle and len(self._workers) < self._max_workers:
                self._workers.append(Worker(self._command, self._timeout))
            worker = min(self._workers, key=lambda each: each.sessions)
            worker.sessions += 1
            return worker

    def release(self, worker: Worker) -> None:
        """Count one session less for `worker`."""
        with self._lock:
            worker.sessions -= 1

    def close(self) -> None:
        """End all workers."""
        with self._lock:
            for worker in self._workers:
                worker.end()
            self._workers.clear()


class WorkerBackend:
    """One session in a worker."""

    _keys = itertools.count()

    def __init__(self, pool: WorkerPool, seed: int) -> None:
        self._pool = pool
        self._worker = pool.acquire()
        self._key = next(self._keys)
        self._closed = False
        try:
            self._send("open", timeout=START_TIMEOUT, seed=seed)
        except EnvError:
            pool.release(self._worker)
            raise

    def call(self, name: str, arguments: dict[str, Any]) -> tuple[Any, bool]:
        """Execute a tool in the worker."""
        content, is_error = self._send("call", name=name, arguments=arguments)
        return content, bool(is_error)

    def dump_state(self) -> Any:
        """Return the session's state."""
        return self._send("dump_state")

    def load_state(self, state: Any) -> bool:
        """Load `state` if the world can."""
        return bool(self._send("load_state", state=state))

    def close(self) -> None:
        """Forget the session in the worker, which lives on for other sessions."""
        if self._closed:
            return
        self._closed = True
        if self._worker.alive:
            self._send("close")
        self._pool.release(self._worker)

    def _send(self, operation: str, *, timeout: float | None = None, **fields: Any) -> Any:
        request = {"op": operation, "session": self._key, **fields}
        return self._worker.request(request, timeout=timeout)


def environment_from_worker(
    *, command: Sequence[str], id: str, timeout: float, max_workers: int | None
) -> Environment:
    """See `Environment.from_worker`."""
    pool = WorkerPool(command, timeout, max_workers or min(8, os.cpu_count() or 1))
    worker = pool.acquire()
    described = worker.request({"op": "describe"}, timeout=START_TIMEOUT)
    pool.release(worker)
    return Environment(
        id=id,
        tools=[ToolSpec.model_validate(tool) for tool in described],
        open_backend=lambda seed: WorkerBackend(pool, seed),
    )
