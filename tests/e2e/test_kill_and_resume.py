"""A run that is ended at any moment and started again leaves what an undisturbed run leaves."""

import importlib.util
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "tests" / "unit" / "runs"
KILLS = 10


def load_module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Child:
    """A command line that runs in a fork of `fork_cli.py`."""

    def __init__(self, server, log, arguments, environ=()):
        self._server, self._log = server, log
        asked = {"log": str(log), "arguments": arguments, "environ": dict(environ)}
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        self.pid = int(server.stdout.readline())
        self._status = None

    def running(self):
        if self._status is None and select.select([self._server.stdout], [], [], 0)[0]:
            self.wait()
        return self._status is None

    def wait(self):
        if self._status is None:
            self._status = int(self._server.stdout.readline())
        return self._status

    def said(self):
        return self._log.read_text()


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("fork_cli.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def start_run(target, out, *more, **environ):
        options = ["-n", "8", "--turns", "1", "--seed", "2", "--max-concurrency", "2", *more]
        arguments = ["synthesize", str(target), "--out", str(out), *options]
        return Child(server, folder / "log", arguments, environ)

    yield start_run
    server.stdin.close()
    server.wait(10)
    server.stdout.close()


@pytest.fixture(scope="module")
def kiosk_in_workers(tmp_path_factory):
    """A copy of its own, by whose path its workers are told from those of others."""
    path = shutil.copy(RUNS / "kiosk.py", tmp_path_factory.mktemp("tools"))
    return f"{path}:Kiosk"


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory):
    """A world without workers, for what does not concern them."""
    path = tmp_path_factory.mktemp("kiosk") / "in_process.py"
    path.write_text(
        f"import sys\nsys.path.append({str(RUNS)!r})\n"
        "from kiosk import Kiosk\nfrom funreason_agents import Environment\n"
        "world = Environment.from_class(Kiosk)\n"
    )
    return f"{path}:world"


def wait_for_write(out, child):
    """Wait until `child` writes its first checkpoint."""
    log = out / "checkpoints.sqlite-wal"
    before = log.stat().st_mtime_ns if log.exists() else 0
    deadline = time.monotonic() + 30
    while child.running() and time.monotonic() < deadline:
        if log.exists() and log.stat().st_size and log.stat().st_mtime_ns != before:
            return
        time.sleep(0.002)


def whole_records(out):
    path = out / "records.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return {json.loads(line)["id"] for line in lines}


def find_workers(target):
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes()
        except OSError:
            continue
        if target.encode() in command and b"serve.py" in command:
            found.append(entry.parent.name)
    return found


def no_workers_left(target):
    deadline = time.monotonic() + 5
    while find_workers(target) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not find_workers(target)


def finish(start, target, out, *more):
    child = start(target, out, *more)
    assert child.wait() == 0, child.said()
    assert "Traceback" not in child.said()
    return (out / "records.jsonl").read_bytes()


def test_run_killed_at_ten_moments_ends_like_an_undisturbed_one(start, kiosk, tmp_path):
    long = ("-n", "60")  # so long that ten kills come before its end, on a fast machine too
    undisturbed = finish(start, kiosk, tmp_path / "undisturbed", *long)
    out, draw, held, killed = tmp_path / "killed", random.Random(11), set(), 0
    for number in range(KILLS):
        child = start(kiosk, out, *long)
        if number in (0, 5):  # also before it has written anything
            time.sleep(draw.uniform(0, 0.3))
        else:
            wait_for_write(out, child)
            time.sleep(draw.uniform(0, 0.1))
        if child.running():
            os.kill(child.pid, signal.SIGKILL)
        killed += child.wait() == -signal.SIGKILL
        now = whole_records(out)
        assert held <= now
        held = now
    assert killed == KILLS
    assert finish(start, kiosk, out, *long) == undisturbed
    provenance = (out / "provenance.jsonl").read_text().splitlines()
    ids = [json.loads(line)["id"] for line in undisturbed.splitlines()]
    assert [json.loads(line)["record_id"] for line in provenance] == ids
    assert sorted(path.name for path in out.iterdir()) == [
        ".lock",
        "checkpoints.sqlite",
        "ledger.jsonl",
        "provenance.jsonl",
        "records.jsonl",
        "run.json",
    ]


def test_run_with_workers_goes_on_after_kill_interrupt_and_term(start, kiosk_in_workers, tmp_path):
    out = tmp_path / "ended"
    for number in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):
        child = start(kiosk_in_workers, out)
        wait_for_write(out, child)
        time.sleep(0.05)
        os.kill(child.pid, number)
        status, said = child.wait(), child.said()
        assert no_workers_left(kiosk_in_workers)
        assert "Traceback" not in said
        if number == signal.SIGKILL:
            continue
        assert status == 130, said
        assert "Run the same line again" in said
        manifest = json.loads((out / "run.json").read_text())
        assert manifest["status"] == "interrupted"
        assert manifest["counts"]["accepted"] == len(whole_records(out))
    assert finish(start, kiosk_in_workers, out) == finish(
        start, kiosk_in_workers, tmp_path / "undisturbed"
    )
    assert no_workers_left(kiosk_in_workers)


def test_second_interrupt_does_not_wait_for_the_model(start, kiosk, tmp_path):
    fake = load_module(ROOT / "tests" / "servers" / "fake_openai.py")
    with fake.serve_openai() as server:
        server.delay = 20
        model = ("--model", "openai:slow", "--base-url", server.base_url)
        child = start(kiosk, tmp_path, *model, OPENAI_API_KEY="sk-1")
        deadline = time.monotonic() + 30
        while not server.requests and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(child.pid, signal.SIGINT)
        time.sleep(0.4)
        assert child.running()
        began = time.monotonic()
        os.kill(child.pid, signal.SIGINT)
        assert child.wait() == 130
        assert time.monotonic() - began < 5
    assert "Traceback" not in child.said()
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "interrupted"
