import os
import subprocess
import sys
from pathlib import Path

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from lockers import Lockers
from scripts import break_at, calls, give_up, play
from threads import THREAD, open_saver

from funreason_agents import (
    Environment,
    SynthesisContext,
    create_reasoner_critic,
    create_supervisor,
    export_thread,
)
from funreason_agents.errors import ConfigurationError, ModelError
from funreason_agents.models.client import Retries
from funreason_agents.models.factory import load_models

TWO = SynthesisContext(turns=2)
ASKED = {"seed": 1, "index": 0}

PROCESS = """
import json, sys
from threads import open_saver
from lockers import Lockers
from scripts import break_at, play
from funreason_agents import Environment, SynthesisContext, create_supervisor
from funreason_agents.errors import ConfigurationError

path, thread_id, number, asked = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
with open_saver(path) as saver:
    graph = create_supervisor(
        environment=Environment.from_class(Lockers),
        model=break_at(number) if number >= 0 else play(),
        checkpointer=saver,
    )
    thread = {"configurable": {"thread_id": thread_id}}
    try:
        graph.invoke(json.loads(asked), thread, context=SynthesisContext(turns=2))
    except ConfigurationError:
        sys.exit(3)
"""


def make(model, saver):
    """Everything fresh, as after the end of a process: environment, sessions, and graph."""
    return create_supervisor(
        environment=Environment.from_class(Lockers), model=model, checkpointer=saver
    )


@pytest.fixture(scope="module")
def undisturbed():
    model = play()
    out = make(model, InMemorySaver()).invoke(ASKED, THREAD, context=TWO)
    assert out["status"] == "accepted"
    assert len(model.calls) > 8
    return out


def impatient(model):
    """The model for all roles, with clients that do not wait between two requests."""
    return load_models(model, retries=Retries(attempts=3, first=0.0))


@pytest.mark.parametrize("number", range(9))
def test_thread_that_broke_goes_on_to_the_same_trajectory(tmp_path, thread, undisturbed, number):
    path = tmp_path / "threads.sqlite"
    with open_saver(path) as saver, pytest.raises(ConfigurationError, match="revoked"):
        make(break_at(number), saver).invoke(ASKED, thread, context=TWO)
    model = play()
    with open_saver(path) as saver:
        graph = make(model, saver)
        assert graph.get_state(thread).next
        assert graph.invoke(None, thread, context=TWO) == undisturbed


def test_calls_made_before_the_break_are_not_made_again(tmp_path, thread, undisturbed):
    path, whole = tmp_path / "threads.sqlite", play()
    with open_saver(tmp_path / "whole.sqlite") as saver:
        make(whole, saver).invoke(ASKED, thread, context=TWO)
    with open_saver(path) as saver, pytest.raises(ConfigurationError):
        make(break_at(5), saver).invoke(ASKED, thread, context=TWO)
    rest = play()
    with open_saver(path) as saver:
        make(rest, saver).invoke(None, thread, context=TWO)
    assert len(rest.calls) == len(whole.calls) - 5


def run_process(path, thread, number, asked):
    folder = str(Path(__file__).parent)
    return subprocess.run(
        [sys.executable, "-c", PROCESS, path, thread["configurable"]["thread_id"], number, asked],
        env={**os.environ, "PYTHONPATH": folder, "LANGGRAPH_STRICT_MSGPACK": "true"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_another_process_goes_on_under_strict_msgpack(tmp_path, environment, thread, undisturbed):
    path = str(tmp_path / "threads.sqlite")
    broken = run_process(path, thread, "5", '{"seed": 1, "index": 0}')
    assert broken.returncode == 3, broken.stderr
    resumed = run_process(path, thread, "-1", "null")
    assert resumed.returncode == 0, resumed.stderr
    with open_saver(path) as saver:
        graph = create_supervisor(environment=environment, checkpointer=saver)
        trajectory = export_thread(graph, thread["configurable"]["thread_id"])
    assert trajectory.to_json() == undisturbed["trajectory"]


def test_interrupted_by_the_caller_between_stages(environment, saver, thread, undisturbed):
    graph = create_supervisor(environment=environment, model=play(), checkpointer=saver)
    graph.invoke(ASKED, thread, context=TWO, interrupt_after=["environment_explorer"])
    state = graph.get_state(thread)
    assert state.next == ("query_writer",)
    assert state.values["call_trace"]
    assert graph.invoke(None, thread, context=TWO) == undisturbed


def test_failing_provider_is_asked_three_times_and_the_thread_goes_on(
    tmp_path, environment, thread, undisturbed
):
    def fail(call):
        raise ConnectionError("no route to the provider")

    broken, path = play(reasoning=fail), tmp_path / "threads.sqlite"
    with open_saver(path) as saver:
        with pytest.raises(ModelError, match="no route to the provider"):
            graph = create_supervisor(
                environment=environment, models=impatient(broken), checkpointer=saver
            )
            graph.invoke(ASKED, thread, context=TWO)
        assert len(calls(broken, "reasoning")) == 3
        assert make(play(), saver).invoke(None, thread, context=TWO) == undisturbed


def test_provider_that_fails_once_is_not_noticed(environment, task):
    failed = []

    def fail_once(call):
        if not failed:
            failed.append(call)
            raise ConnectionError("try again")

    reasoner = create_reasoner_critic(
        environment=environment, models=impatient(play(reasoning=fail_once))
    )
    assert reasoner.invoke({"turn_task": task})["rejection"] is None


def test_configuration_errors_are_not_retried(environment, task):
    model = break_at(0)
    reasoner = create_reasoner_critic(environment=environment, model=model)
    with pytest.raises(ConfigurationError):
        reasoner.invoke({"turn_task": task})
    assert len(model.calls) == 1


def test_finished_thread_starts_anew_with_a_new_input(environment, saver, thread):
    graph = create_supervisor(environment=environment, model=play(), checkpointer=saver)
    graph.invoke({"seed": 1, "index": 1}, thread, context=TWO)
    again = graph.invoke({"seed": 1, "index": 2}, thread, context=TWO)
    alone = create_supervisor(environment=environment, model=play())
    expected = alone.invoke({"seed": 1, "index": 2}, context=TWO)["trajectory"]["turns"]
    assert again["trajectory"]["turns"] == expected


def test_rejected_thread_is_finished(environment, saver, thread):
    graph = create_supervisor(environment=environment, model=play(reasoning=give_up))
    context = SynthesisContext(turns=2, turn_attempts=1, critic_rounds=1)
    assert graph.invoke(ASKED, thread, context=context)["status"] == "rejected"
