"""Worlds in worker processes: what breaks there never breaks the run."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from funreason_agents import Environment, ToolCall
from funreason_agents.environments.serve import SERVE_PATH
from funreason_agents.environments.worker import worker_variables
from funreason_agents.errors import ConfigurationError, EnvError, ToolTimeoutError

WORLD = Path(__file__).with_name("stub_world.py")


def make_environment(timeout=20.0, max_workers=1):
    command = [sys.executable, str(SERVE_PATH), f"{WORLD}:World"]
    return Environment.from_worker(
        command=command, id="stub", timeout=timeout, max_workers=max_workers
    )


@pytest.fixture
def environment():
    return make_environment()


def run(session, name, **arguments):
    return session.call(ToolCall(id="c", name=name, arguments=arguments)).content


def is_running(pid):
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
            != "Z"
        )
    except OSError:
        return False


def wait_until(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_sessions_of_one_worker_have_states_of_their_own(environment):
    one, two = environment.open(1), environment.open(1)
    assert run(one, "add", item="x")["pid"] == run(two, "add", item="y")["pid"]
    assert (one.state(), two.state()) == ({"items": [1, "x"]}, {"items": [1, "y"]})


def test_a_hang_is_a_timeout_after_which_all_sessions_go_on():
    environment = make_environment(timeout=0.5)
    hanging, innocent = environment.open(1), environment.open(2)
    before = [run(each, "add", item="x") for each in (hanging, innocent)]
    with pytest.raises(ToolTimeoutError, match=r"tool 'hang' did not answer in 0\.5 s"):
        run(hanging, "hang")
    after = [run(each, "add", item="y") for each in (innocent, hanging)]
    assert [each["items"] for each in after] == [[2, "x", "y"], [1, "x", "y"]]
    assert after[0]["pid"] != before[0]["pid"]
    assert not is_running(before[0]["pid"])


@pytest.mark.parametrize(
    ("tool", "text"),
    [("leave", "exit status 7"), ("segfault", r"exit status -11\): about to crash")],
)
def test_a_crash_is_an_error_that_says_how_it_ended(environment, tool, text):
    session = environment.open(1)
    run(session, "add", item="x")
    with pytest.raises(EnvError, match=text):
        run(session, tool)
    assert run(session, "add", item="y")["items"] == [1, "x", "y"]


def test_a_rebuilt_session_must_have_the_state_hash_it_had(environment):
    session = environment.open(1)
    pid = run(session, "add", item="x")["pid"]
    session.state_hash()
    session.calls = ()  # as if replaying them had no effect
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(EnvError, match="gave another state hash"):
        run(session, "add", item="y")


def test_what_tools_print_or_read_does_not_touch_the_protocol(environment):
    session = environment.open(1)
    assert run(session, "shout") == "real"
    assert run(session, "read") == ""
    assert run(session, "add", item="x")["items"] == [1, "x"]


def test_a_result_that_is_not_json_is_an_error_and_leaves_no_trace(environment):
    session = environment.open(1)
    with pytest.raises(EnvError, match="set is not JSON"):
        run(session, "give_set")
    assert session.state() == {"items": [1]}


def test_a_state_that_is_not_json_is_an_error(environment):
    session = environment.open(1)
    run(session, "spoil")
    with pytest.raises(EnvError, match="'dump_state' failed in the worker"):
        session.state()


def test_a_world_that_cannot_be_opened_is_an_error(environment):
    with pytest.raises(EnvError, match="no such world"):
        environment.open(666)


def test_a_session_that_cannot_be_closed_is_given_up(environment):
    session = environment.open(1)
    run(session, "add", item="unclosable")
    session.close()
    assert environment.open(1).state_hash()


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (["/no/such/python"], "could not start the worker '/no/such/python'"),
        ([sys.executable, "-c", "raise OSError('no licence')"], "no licence"),
        ([sys.executable, "-c", "input(); print('hello'); input()"], "breaks the protocol"),
        ([sys.executable, str(SERVE_PATH), f"{WORLD}:Nothing"], "AttributeError"),
        ([sys.executable, str(SERVE_PATH), f"{WORLD}:NoTools"], "read the tools of 'x'"),
    ],
)
def test_a_worker_that_cannot_start_is_an_error(command, text):
    with pytest.raises(EnvError, match=text):
        Environment.from_worker(command=command, id="x")


def test_less_than_one_worker_is_refused():
    with pytest.raises(ConfigurationError, match="at least 1"):
        make_environment(max_workers=0)


def test_workers_and_their_children_end_with_the_environment():
    environment = make_environment()
    session = environment.open(1)
    pids = [run(session, "add", item="x")["pid"], run(session, "start_child")]
    assert all(map(is_running, pids))
    del environment, session
    gc.collect()
    assert wait_until(lambda: not any(map(is_running, pids)))


def test_ended_workers_leave_no_open_files(environment):
    session = environment.open(1)
    for _ in range(2):
        with pytest.raises(EnvError):
            run(session, "leave")
        run(session, "shout")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        with pytest.raises(EnvError):
            run(session, "leave")
        run(session, "shout")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_hanging_worker_ends_when_its_parent_is_killed():
    code = f"""
import sys; sys.path.insert(0, {str(WORLD.parent)!r})
import test_worker_processes as t
session = t.make_environment().open(1)
print(t.run(session, "add", item=1)["pid"], flush=True)
t.run(session, "hang")
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    pid = int(parent.stdout.readline())
    time.sleep(0.1)
    parent.kill()
    parent.communicate()
    assert wait_until(lambda: not is_running(pid))


def test_an_interrupted_request_does_not_leave_its_answer_to_the_next(environment, monkeypatch):
    session = environment.open(1)
    monkeypatch.setattr("os.read", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(session, "shout")
    monkeypatch.undo()
    assert run(session, "add", item="x")["items"] == [1, "x"]


def test_threads_share_workers_without_mixing_answers():
    environment = make_environment(max_workers=2)
    found = {}

    def work(seed):
        session = environment.open(seed)
        found[seed] = [run(session, "add", item=n)["items"] for n in range(10)][-1]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    [each.start() for each in threads]
    [each.join() for each in threads]
    assert found == {seed: [seed, *range(10)] for seed in range(8)}


def test_worker_variables_reach_the_workers_of_the_block_only():
    command = [sys.executable, "-c", "import os; raise OSError(os.environ.get('COLOUR'))"]
    with worker_variables(COLOUR="green"), pytest.raises(EnvError, match="green"):
        Environment.from_worker(command=command, id="x")
    with pytest.raises(EnvError, match="None"):
        Environment.from_worker(command=command, id="x")
