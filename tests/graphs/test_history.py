import pytest
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Overwrite
from scripts import play

from funreason_agents import SynthesisContext, create_supervisor

TWO = SynthesisContext(turns=2)
# `Overwrite` empties a channel; every saver in strict mode knows it.
PLAIN = (str, int, float, bool, type(None), Overwrite)


@pytest.fixture
def finished(environment, saver, thread):
    graph = create_supervisor(environment=environment, model=play(), checkpointer=saver)
    out = graph.invoke({"seed": 1, "index": 0}, thread, context=TWO)
    return graph, out


def test_history_shows_each_stage_with_its_state(finished, thread):
    graph, out = finished
    history = list(graph.get_state_history(thread))
    assert history[0].values["trajectory"] == out["trajectory"]
    asked = [state for state in history if state.next == ("reasoner_critic",)]
    assert [state.values["turn"] for state in asked] == [1, 0]
    assert asked[1].values["turn_task"]["query"] == out["trajectory"]["turns"][0]["query"]
    assert [len(state.values["turns"]) for state in asked] == [1, 0]


def test_child_states_are_found_through_the_tasks(finished, thread):
    graph, _ = finished
    stages = find_child_states(graph, thread)
    # What the query writer made is in the supervisor's own state.
    assert {name for name, _ in stages} == {"reasoner_critic"}
    assert stages["reasoner_critic", 1]["verdict"]["checks"]


def test_all_child_states_are_kept_if_asked_for(environment, saver, thread):
    graph = create_supervisor(environment=environment, model=play(), checkpointer=saver)
    graph.invoke({"seed": 1, "index": 0}, thread, context=TWO, durability="sync")
    stages = find_child_states(graph, thread)
    assert {name for name, _ in stages} == {"query_writer", "reasoner_critic"}
    assert stages["query_writer", 0]["advanced_tool"]["inputs"]


def find_child_states(graph, thread):
    stages = {}
    for state in graph.get_state_history(thread):
        for task in state.tasks:
            child = graph.get_state(task.state) if task.state else None
            if child is not None and child.values:
                stages[task.name, state.values["turn"]] = child.values
    return stages


def test_fork_from_an_earlier_checkpoint_gives_the_same_turns(finished, thread):
    graph, out = finished
    forks = [s for s in graph.get_state_history(thread) if s.next == ("query_writer",)]
    for fork in forks:
        assert graph.invoke(None, fork.config, context=TWO) == out


def test_fork_with_a_human_edit_uses_the_edit(finished, thread):
    graph, out = finished
    fork = next(
        state
        for state in graph.get_state_history(thread)
        if state.next == ("environment_explorer",) and state.values["turn"] == 1
    )
    edited = graph.update_state(fork.config, {"turn_attempt": 2})
    again = graph.invoke(None, edited, context=TWO)["trajectory"]["turns"]
    assert again[0] == out["trajectory"]["turns"][0]
    assert again[1]["turn_attempt"] == 2


def test_checkpoints_hold_plain_json_only(finished, saver):
    serde = JsonPlusSerializer(allowed_msgpack_modules=None)
    rows = [
        *saver.conn.execute("SELECT type, checkpoint FROM checkpoints"),
        *saver.conn.execute("SELECT type, value FROM writes"),
    ]
    assert len(rows) > 100
    assert not {odd for row in rows for odd in find_odd(serde.loads_typed(row))}


def find_odd(value):
    if isinstance(value, dict):
        return {odd for pair in value.items() for each in pair for odd in find_odd(each)}
    if isinstance(value, list | tuple):
        return {odd for each in value for odd in find_odd(each)}
    return set() if isinstance(value, PLAIN) else {type(value)}
