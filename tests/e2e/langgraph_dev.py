"""A LangGraph server with the repository's graphs, for tests over HTTP."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 40

needs_server = pytest.mark.skipif(
    importlib.util.find_spec("langgraph_api") is None,
    reason="needs langgraph-cli[inmem]: pip install 'funreason-agents[studio]'",
)


@contextmanager
def serving(folder):
    """A client of the server, which keeps its threads in `folder`."""
    from langgraph_sdk import get_sync_client

    config = json.loads((ROOT / "langgraph.json").read_text(encoding="utf-8"))
    for entry in config["graphs"].values():
        entry["path"] = str(ROOT / entry["path"])
    (folder / "langgraph.json").write_text(json.dumps(config), encoding="utf-8")
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    command = [sys.executable, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload"]
    port, log = free_port(), folder / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=folder,
            env={**keep, "LANGGRAPH_NO_VERSION_CHECK": "true", "LANGGRAPH_STRICT_MSGPACK": "true"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with get_sync_client(url=f"http://127.0.0.1:{port}") as client:
            wait_until_ready(process, client, log)
            yield client
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        print(log.read_text())  # shown where a test fails


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_ready(process, client, log):
    import httpx

    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended:\n{log.read_text()}"
        try:
            return client.assistants.search()
        except (OSError, httpx.HTTPError):
            time.sleep(0.2)
    raise AssertionError(f"the server was not ready in {START_SECONDS} s:\n{log.read_text()}")
