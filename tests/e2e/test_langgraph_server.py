"""The graphs on a real LangGraph server, over HTTP, with no key."""

import json
from pathlib import Path

import pytest
from langgraph_dev import needs_server, serving

from funreason_agents import load_environment, synthesize
from funreason_agents.errors import ExportError
from funreason_agents.export.checkpoints import export_server_thread
from funreason_agents.export.records import to_record

ROOT = Path(__file__).resolve().parents[2]
NAMES = {"data_refiner", "environment_explorer", "query_writer", "reasoner_critic", "supervisor"}

pytestmark = [pytest.mark.server, pytest.mark.timeout(180), needs_server]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server")) as client:
        yield client


@pytest.fixture(scope="module")
def environment():
    return load_environment("tools/bookstore.py:Bookstore")


@pytest.fixture(scope="module")
def local_record(environment, tmp_path_factory):
    """The record of (seed 7, index 3) as `synthesize` makes it."""
    run = synthesize(
        environment=environment, num_trajectories=4, seed=7, out=tmp_path_factory.mktemp("run")
    )
    (record,) = [each for each in run.records() if each.provenance.index == 3]
    return record


def run_graph(client, name, values, **options):
    return client.runs.wait(None, name, input=values, raise_error=True, **options)


@pytest.fixture(scope="module")
def finished_thread(server, local_record):
    thread_id = local_record.provenance.thread_id
    server.threads.create(thread_id=thread_id)
    out = server.runs.wait(thread_id, "supervisor", input={"seed": 7, "index": 3})
    assert out["status"] == "accepted", out
    return thread_id


def test_graphs_are_listed_and_drawn(server):
    assistants = {each["graph_id"]: each for each in server.assistants.search()}
    assert set(assistants) == NAMES
    for assistant in assistants.values():
        assert assistant["description"]
        drawing = server.assistants.get_graph(assistant["assistant_id"], xray=True)
        assert len(drawing["nodes"]) > 2
    drawing = server.assistants.get_graph("supervisor", xray=True)
    assert "write_query" in json.dumps(drawing)


def test_knobs_show_with_bounds_and_descriptions(server):
    (assistant,) = server.assistants.search(graph_id="supervisor")
    schema = server.assistants.get_schemas(assistant["assistant_id"])["context_schema"]
    turns = schema["properties"]["turns"]
    assert (turns["minimum"], turns["maximum"], turns["default"]) == (1, 64, 3)
    assert turns["description"]


def test_knob_out_of_bounds_is_refused(server):
    with pytest.raises(Exception, match="turns"):
        run_graph(server, "supervisor", {"seed": 7}, context={"turns": 0})


def test_stages_run_one_after_another_over_http(server):
    explored = run_graph(server, "environment_explorer", {"run_seed": 7, "index": 3})
    trace = explored["call_trace"]
    assert trace["target"] == explored["target"]
    task = run_graph(server, "query_writer", {"call_trace": trace})["turn_task"]
    assert task["query"]
    solved = run_graph(server, "reasoner_critic", {"turn_task": task})
    assert solved["verdict"]["checks"]
    assert solved["attempt"]["executed"]


def test_export_equals_the_record_of_a_local_run(
    server, finished_thread, environment, local_record
):
    trajectory = export_server_thread(server, finished_thread)
    assert to_record(trajectory, environment) == local_record


def find_child_states(server, thread_id):
    found = {}
    for state in server.threads.get_history(thread_id, limit=100):
        for task in state["tasks"]:
            if task.get("checkpoint"):
                child = server.threads.get_state(thread_id, checkpoint=task["checkpoint"])
                if child["values"]:
                    found[task["name"]] = child["values"]
    return found


def test_history_leads_to_the_states_of_the_stages(server, finished_thread):
    history = server.threads.get_history(finished_thread, limit=100)
    assert any(state["values"].get("call_trace") for state in history)
    assert any(state["values"].get("turn_task") for state in history)
    found = find_child_states(server, finished_thread)
    # What explorer and query writer made is in the supervisor's own state.
    assert set(found) == {"reasoner_critic"}
    assert found["reasoner_critic"]["verdict"]["checks"]


def test_history_holds_all_stages_if_asked_for(server):
    thread_id = server.threads.create()["thread_id"]
    options = {"input": {"seed": 7, "index": 3}, "context": {"turns": 1}, "durability": "sync"}
    server.runs.wait(thread_id, "supervisor", **options)
    found = find_child_states(server, thread_id)
    assert set(found) == {"query_writer", "reasoner_critic"}
    assert found["query_writer"]["turn_task"]["query"]


def test_unfinished_thread_is_not_exported(server):
    thread = server.threads.create()
    with pytest.raises(ExportError, match="no thread"):
        export_server_thread(server, thread["thread_id"])
