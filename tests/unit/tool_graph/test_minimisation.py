"""The gold trace: what a walk needed, and no more."""

import pytest

from funreason_agents.environments.execution import PlannedCall, execute_plan
from funreason_agents.schemas.tools import Origin
from funreason_agents.tool_graph.minimise import minimise


def planned(name, *, origins=None, **arguments):
    links = {
        f"/{key}": Origin(kind="output", call=call, path=path)
        for key, (call, path) in (origins or {}).items()
    }
    return PlannedCall(name, {**arguments, **dict.fromkeys(origins or {})}, links)


def walked(world, *plan):
    session = world.environment.open(5)
    start = session.snapshot()
    return session, start, execute_plan(session, list(plan))


def find(world, number):
    owner = ("Ada Moor", "Lin Shaw", "Sam Field")[number]
    return planned("find_by_owner", owner=owner)


def use(name, call, **arguments):
    return planned(name, origins={"parcel_code": (call, "/parcel_code")}, **arguments)


def shape(result):
    calls, asked = result
    links = [o.call for step in calls for o in step.origins.values() if o.kind == "output"]
    return [step.call.name for step in calls], links, asked


def test_a_detour_that_changes_nothing_is_dropped(depot):
    session, start, walk = walked(depot, find(depot, 0), find(depot, 1), use("weigh_parcel", 1))
    found = shape(minimise(session, start, walk, [2]))
    assert found == (["find_by_owner", "weigh_parcel"], [0], [1])


def test_data_dependencies_are_renumbered(depot):
    plan = (
        find(depot, 2),
        find(depot, 0),
        find(depot, 1),
        use("send_parcel", 1),
        use("weigh_parcel", 2),
    )
    session, start, walk = walked(depot, *plan)
    names, links, asked = shape(minimise(session, start, walk, [3, 4]))
    assert names == ["find_by_owner", "find_by_owner", "send_parcel", "weigh_parcel"]
    assert (links, asked) == ([0, 1], [2, 3])


def test_a_call_that_marks_the_final_state_is_a_request_of_its_own(depot):
    plan = (find(depot, 0), use("send_parcel", 0), find(depot, 1), use("weigh_parcel", 2))
    session, start, walk = walked(depot, *plan)
    names, _, asked = shape(minimise(session, start, walk, [3]))
    assert names == ["find_by_owner", "send_parcel", "find_by_owner", "weigh_parcel"]
    assert asked == [1, 3]


def test_an_asked_call_is_never_dropped(depot):
    session, start, walk = walked(depot, find(depot, 0), find(depot, 1), use("weigh_parcel", 1))
    names, _, asked = shape(minimise(session, start, walk, [0, 2]))
    assert names == ["find_by_owner", "find_by_owner", "weigh_parcel"]
    assert asked == [0, 2]


def test_a_precondition_stays_and_is_no_request(board):
    session = board.environment.open(5)
    account = session.state()["accounts"][1]
    _, start, walk = walked(board, planned("log_in", **account), planned("post_note", text="hi"))
    names, _, asked = shape(minimise(session, start, walk, [1]))
    assert (names, asked) == (["log_in", "post_note"], [1])


def test_the_session_ends_in_the_state_after_the_gold_trace(depot):
    session, start, walk = walked(depot, find(depot, 0), find(depot, 1), use("send_parcel", 0))
    calls, _ = minimise(session, start, walk, [2])
    assert session.state_hash() == calls[-1].state_after


@pytest.mark.parametrize("name", ["find_by_owner", "weigh_parcel"])
def test_a_walk_that_cannot_be_executed_again_has_no_gold_trace(depot, name):
    session, start, walk = walked(depot, find(depot, 0), use("weigh_parcel", 0))
    wrong = {"owner": "", "parcel_code": ""}
    broken = [
        step.model_copy(
            update={"call": step.call.model_copy(update={"arguments": wrong}), "origins": {}}
        )
        if step.call.name == name
        else step
        for step in walk
    ]
    assert minimise(session, start, broken, [1]) is None
