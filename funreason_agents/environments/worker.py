"""Worlds in worker processes: a hang or crash ends the worker, never the run.

Also how an environment lives in another Python environment than ours. The protocol is in
`environments.serve`. A worker holds many sessions and answers one request at a time.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import selectors
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from funreason_agents.environments.base import REBUILDS, BackendLostError, Environment
from funreason_agents.errors import ConfigurationError, EnvError, ToolTimeoutError, boundary
from funreason_agents.schemas.tools import ToolSpec

START_TIMEOUT = 60.0

_variables: ContextVar[Mapping[str, str]] = ContextVar("worker_variables", default={})  # noqa: B039


@contextmanager
def worker_variables(**variables: str) -> Iterator[None]:
    """Set environment variables for the workers of environments that the block makes."""
    token = _variables.set({**_variables.get(), **variables})
    try:
        yield
    finally:
        _variables.reset(token)


class Worker:
    """One worker process. `request` may be called from any thread.

    Args:
        command: How it is started.
        timeout: Seconds that one request may take.
        variables: Environment variables besides those of this process.
    """

    def __init__(
        self, command: Sequence[str], timeout: float, variables: Mapping[str, str] | None = None
    ) -> None:
        self._timeout = timeout
        self._lock = threading.RLock()
        self._buffer = b""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={**os.environ, **(variables or {})},
                start_new_session=True,  # Ctrl-C is for the run, which then ends its workers
            )
        except OSError as exc:
            self._errors.close()
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
            data = json.dumps(request).encode() + b"\n"
            try:
                line = self._exchange(data, timeout or self._timeout, what)
            except BaseException:  # an interrupt too: the next request would get this answer
                self.end()
                raise
        return _read_answer(line, what)

    def end(self) -> None:
        """End the process, and what it started, at once."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        # Another thread's request now meets the end of the process and gives the lock back.
        with self._lock:
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout, self._errors):
                if stream is not None:
                    with contextlib.suppress(OSError):  # what could not be written is still there
                        stream.close()

    def _exchange(self, data: bytes, timeout: float, what: str) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except OSError as exc:  # the request has not reached it whole: it was not executed
            msg = "the worker process is gone"
            raise BackendLostError(msg) from exc
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    msg = f"{what} did not answer in {timeout:g} s; its worker process was ended"
                    raise ToolTimeoutError(msg)
                chunk = os.read(self._process.stdout.fileno(), 1 << 16)
                if not chunk:
                    raise self._crashed(what)
                self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _crashed(self, what: str) -> EnvError:
        with contextlib.suppress(subprocess.TimeoutExpired):  # it may live on with closed pipes
            self._process.wait(1.0)
        status = self._process.poll()
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - 4000))
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        last = f": {lines[-1]}" if lines else ""
        return EnvError(f"{what} ended its worker process (exit status {status}){last}")


def _read_answer(line: bytes, what: str) -> Any:
    try:
        answer = json.loads(line)
        if "error" not in answer:
            return answer["ok"]
    except (ValueError, TypeError, LookupError) as exc:
        msg = f"{what}: the worker's answer breaks the protocol: {line[:200]!r}"
        raise EnvError(msg) from exc
    msg = f"{what} failed in the worker: {answer['error']}"
    raise EnvError(msg)


class WorkerPool:
    """Starts workers as sessions need them, up to a limit, and replaces those that ended."""

    def __init__(self, command: Sequence[str], timeout: float, max_workers: int) -> None:
        self._command = tuple(command)
        self._timeout = timeout
        self._max_workers = max_workers
        self._variables = dict(_variables.get())
        self._workers: list[Worker] = []
        self._lock = threading.Lock()

    def acquire(self) -> Worker:
        """Return the worker with the fewest sessions, counting one more for it."""
        with self._lock:
            for worker in [each for each in self._workers if not each.alive]:
                worker.end()
                self._workers.remove(worker)
            idle = [worker for worker in self._workers if worker.sessions == 0]
            if not idle and len(self._workers) < self._max_workers:
                self._workers.append(Worker(self._command, self._timeout, self._variables))
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
        self._closed = False
        for attempt in range(REBUILDS + 1):
            self._worker = pool.acquire()
            self._key = next(self._keys)
            try:
                self._send("open", timeout=START_TIMEOUT, seed=seed)
                return
            except BaseException as exc:
                pool.release(self._worker)
                if not isinstance(exc, BackendLostError) or attempt == REBUILDS:
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
        try:
            # The session is given up: if it cannot be closed, its worker was ended.
            with contextlib.suppress(EnvError):
                self._send("close")
        finally:
            self._pool.release(self._worker)

    def _send(self, operation: str, *, timeout: float | None = None, **fields: Any) -> Any:
        request = {"op": operation, "session": self._key, **fields}
        return self._worker.request(request, timeout=timeout)


def environment_from_worker(
    *, command: Sequence[str], id: str, timeout: float, max_workers: int | None
) -> Environment:
    """See `Environment.from_worker`."""
    if max_workers is not None and max_workers < 1:
        msg = f"max_workers must be at least 1, not {max_workers}"
        raise ConfigurationError(msg)
    pool = WorkerPool(command, timeout, max_workers or min(8, os.cpu_count() or 1))
    try:
        worker = pool.acquire()
        described = worker.request({"op": "describe"}, timeout=START_TIMEOUT)
        pool.release(worker)
        with boundary(EnvError, f"read the tools of {id!r}"):
            tools = [ToolSpec.model_validate(tool) for tool in described]
        environment = Environment(
            id=id, tools=tools, open_backend=lambda seed: WorkerBackend(pool, seed)
        )
    except BaseException:
        pool.close()
        raise
    # The workers go with the environment, which its sessions hold, or else with this process.
    weakref.finalize(environment, pool.close)
    return environment
