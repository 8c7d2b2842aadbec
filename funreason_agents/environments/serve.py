"""Serve a world over JSON lines. Standard library only: runs in any Python environment.

Started as `python serve.py TARGET [ARG ...]`. TARGET is `path.py:World` for a world that brings
its own isolated interpreter (`World(*args)` with `tools()` and `open(seed)`, whose sessions have
`call(name, arguments)`, `dump_state()` and perhaps `load_state(state)`), or, with `--environment`
in front, anything that `funreason_agents.load_environment` accepts.

One request a line: `{"op": ..., ...}`; one answer a line: `{"ok": ...}` or `{"error": ...}`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO

SERVE_PATH = Path(__file__).resolve()


def _load_world(target: str, arguments: list[str]) -> Any:
    path, _, name = target.rpartition(":")
    spec = importlib.util.spec_from_file_location("_funreason_world", path)
    if spec is None or spec.loader is None:
        msg = f"cannot load {path!r}"
        raise ImportError(msg)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return getattr(module, name)(*arguments)


def _load_environment(target: str, arguments: list[str]) -> Any:
    from funreason_agents.environments.local_world import LocalWorld  # noqa: PLC0415

    return LocalWorld(target, *arguments)


class _Server:
    def __init__(self, world: Any) -> None:
        self._world = world
        self._sessions: dict[int, Any] = {}

    def answer(self, request: dict[str, Any]) -> Any:
        operation = request["op"]
        if operation == "describe":
            return self._world.tools()
        key = request["session"]
        if operation == "open":
            self._sessions[key] = self._world.open(request["seed"])
            return None
        if operation == "close":
            session = self._sessions.pop(key, None)
            if hasattr(session, "close"):
                session.close()
            return None
        session = self._sessions[key]
        if operation == "call":
            return session.call(request["name"], request["arguments"])
        if operation == "dump_state":
            return session.dump_state()
        if operation == "load_state":
            return bool(hasattr(session, "load_state") and session.load_state(request["state"]))
        msg = f"unknown operation {operation!r}"
        raise ValueError(msg)


def _end_with_parent() -> None:
    """End this process when its parent is gone, even while a tool hangs."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _serve(server: _Server, requests: TextIO, answers: TextIO) -> None:
    for line in requests:
        try:
            text = json.dumps({"ok": server.answer(json.loads(line))}, allow_nan=False)
        except Exception as exc:  # noqa: BLE001  # the client decides what an error means
            text = json.dumps({"error": f"{type(exc).__name__}: {exc}"})
        answers.write(text + "\n")
        answers.flush()


def main(arguments: list[str]) -> None:
    """Load the world, then answer requests until the client closes its end."""
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # What tools print, or their own processes, must not get between the answers; nor may they
    # read the requests.
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if arguments[0] == "--environment":
        world = _load_environment(arguments[1], arguments[2:])
    else:
        world = _load_world(arguments[0], arguments[1:])
    _serve(_Server(world), requests, answers)


if __name__ == "__main__":
    # Run as a script, this folder would come first on the path and hide other packages' modules.
    sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != SERVE_PATH.parent]
    main(sys.argv[1:])
