"""Walks over small worlds: what they call, learn and keep."""

import pytest

from funreason_agents.environments.execution import execute_plan, keep_calls, replay_calls, to_plan
from funreason_agents.schemas.base import iterate_leaves, resolve_pointer
from funreason_agents.schemas.tools import ToolCall
from funreason_agents.tool_graph.minimise import find_requests, minimise
from funreason_agents.tool_graph.walk_report import compare_walks

WORLDS = ("tickets", "board", "open_board", "depot")


def names(walk):
    return [step.call.name for step in walk.done]


def call_in(session, name, **arguments):
    return replay_calls(session, [ToolCall(id="c", name=name, arguments=arguments)])[0]


def test_two_zip_codes_are_looked_up_by_the_same_tool(tickets):
    walk, reason, _ = tickets.walk("buy_ticket")
    assert reason is None
    assert names(walk) == ["get_zipcode", "get_zipcode", "buy_ticket"]
    bought = walk.done[-1]
    assert {origin.call for origin in bought.origins.values()} == {0, 1}
    assert walk.done[0].call.arguments != walk.done[1].call.arguments


def test_interchangeable_providers_are_not_all_called(depot):
    for key in range(12):
        walk, reason, _ = depot.walk("send_parcel", key=key)
        assert reason is None
        assert len(walk.done) == 2
        assert walk.done[0].call.name in {"find_by_owner", "find_by_shelf"}


def test_both_providers_are_used_over_many_walks(depot):
    used = {names(depot.walk("send_parcel", key=key)[0])[0] for key in range(12)}
    assert used == {"find_by_owner", "find_by_shelf"}


def test_user_name_and_password_come_from_one_object(board):
    for key in range(8):
        walk, _, _ = board.walk("log_in", key=key)
        origins = walk.done[-1].origins
        places = {origin.path.rpartition("/")[0] for origin in origins.values()}
        assert len(places) == 1


def test_a_precondition_is_met_first(board):
    walk, reason, _ = board.walk("post_note")
    assert reason is None
    assert names(walk) == ["log_in", "post_note"]


def test_after_a_logout_an_error_shows_that_the_login_is_to_be_redone(open_board):
    session = open_board.environment.open(5)
    history = [call_in(session, "log_out")]
    walk, reason, _ = open_board.walk("post_note", session=session, history=history)
    assert reason is None
    assert names(walk) == ["log_in", "post_note"]


def test_a_login_of_an_earlier_turn_still_counts(board):
    session = board.environment.open(5)
    account = session.state()["accounts"][0]
    history = [call_in(session, "log_in", **account)]
    walk, reason, _ = board.walk("post_note", session=session, history=history)
    assert (names(walk), reason) == (["post_note"], None)


def test_a_login_that_a_logout_undid_is_revoked(board):
    session = board.environment.open(5)
    account = session.state()["accounts"][0]
    history = [call_in(session, "log_in", **account), call_in(session, "log_out")]
    walk, reason, _ = board.walk("post_note", session=session, history=history)
    assert (names(walk), reason) == (["log_in", "post_note"], None)


def test_a_value_of_an_earlier_turn_is_used_again(depot):
    session = depot.environment.open(5)
    owner = session.state()["parcels"][0]["owner"]
    history = [call_in(session, "find_by_owner", owner=owner)]
    walk, reason, _ = depot.walk("weigh_parcel", session=session, history=history)
    assert (names(walk), reason) == (["weigh_parcel"], None)
    assert walk.done[0].origins["/parcel_code"].kind == "history"


def test_private_keys_of_the_state_are_never_used(depot, tickets):
    for world in (depot, tickets):
        for key in range(10):
            for target in world.graph.reachable:
                walk, _, _ = world.walk(target, key=key)
                paths = [o.path or "" for s in walk.done for o in s.origins.values()]
                assert not any("/_" in path for path in paths)


def test_a_refused_value_is_followed_by_another(depot):
    session = depot.environment.open(5)
    code = next(iter(session.state()["_parcels"]))
    call_in(session, "send_parcel", parcel_code=code)
    seen = []

    def note(step):
        seen.append(step.result.is_error)

    for key in range(10):
        walk, reason, start = depot.walk(
            "send_parcel",
            key=key,
            session=session,
            on_call=lambda s: seen.append(s.result.is_error),
        )
        assert reason is None
        assert walk.done[-1].call.arguments["parcel_code"] != code
        session.restore(start)
    assert any(seen)


def test_a_refused_call_leaves_no_trace(board):
    errors = []
    walk, _, _ = board.walk("post_note", on_call=lambda s: errors.append(s.result.is_error))
    assert not any(step.result.is_error for step in walk.done)
    assert walk.attempted == len(errors)
    assert walk.executed == errors.count(False)


def test_a_target_that_always_refuses_is_given_up(depot):
    allowed = frozenset({"open_vault"})
    walk, reason, start = depot.walk("open_vault", allowed=allowed)
    assert (walk.done, reason) == ([], "refused")
    assert walk.session.state_hash() == start.state_hash
    assert walk.attempted <= 10


def test_a_dead_end_is_named(depot):
    assert depot.walk("send_parcel", allowed=frozenset({"send_parcel"}))[1] == "dead_end"


def test_a_walk_has_no_more_than_max_calls(tickets):
    assert tickets.walk("buy_ticket", max_calls=2)[1] == "too_long"
    assert tickets.walk("buy_ticket", max_calls=3)[1] is None


def test_extra_calls_come_after_the_target(depot):
    walk, reason, _ = depot.walk("send_parcel", extra_calls=2)
    assert reason is None
    assert len(walk.asked) == 3
    assert names(walk)[walk.asked[0]] == "send_parcel"


def test_the_same_key_gives_the_same_walk(depot):
    first, second = (depot.walk("send_parcel", key=4, extra_calls=1)[0] for _ in range(2))
    assert [s.to_json() for s in first.done] == [s.to_json() for s in second.done]


def test_walks_keep_to_the_allowed_tools(depot):
    readers = frozenset(depot.graph.reachable) - set(depot.graph.writes)
    for key in range(8):
        walk, reason, start = depot.walk("weigh_parcel", key=key, allowed=readers, extra_calls=2)
        assert reason is None
        assert set(names(walk)) <= readers
        assert walk.session.state_hash() == start.state_hash


def gold_traces(world, keys=range(6)):
    for target in world.graph.reachable:
        for key in keys:
            walk, reason, start = world.walk(target, key=key, extra_calls=key % 2)
            if reason is None:
                calls, asked = minimise(walk.session, start, walk.done, walk.asked)
                yield target, start, calls, asked


@pytest.mark.parametrize("name", WORLDS)
def test_every_gold_trace_gives_the_same_in_a_fresh_session(name, request):
    world = request.getfixturevalue(name)
    traces = list(gold_traces(world))
    assert len(traces) >= 4 * len(world.graph.reachable)
    for _, start, calls, _ in traces:
        session = world.environment.open(5)
        session.restore(start)
        again = replay_calls(session, [step.call for step in calls])
        assert [s.result.content for s in again] == [s.result.content for s in calls]
        assert [s.state_after for s in again] == [s.state_after for s in calls]


@pytest.mark.parametrize("name", WORLDS)
def test_every_recorded_origin_holds_the_value_that_was_used(name, request):
    world = request.getfixturevalue(name)
    for _, start, calls, _ in gold_traces(world):
        for number, step in enumerate(calls):
            assert {f"/{key}" for key in step.call.arguments} == set(step.origins)
            for pointer, origin in step.origins.items():
                used = resolve_pointer(step.call.arguments, pointer)
                if origin.kind == "output":
                    assert origin.call < number
                    assert resolve_pointer(calls[origin.call].result.content, origin.path) == used
                elif origin.kind == "state":
                    assert used in [leaf for _, leaf in iterate_leaves(start.state)]


@pytest.mark.parametrize("name", WORLDS)
def test_no_call_of_a_gold_trace_can_be_left_out(name, request):
    world = request.getfixturevalue(name)
    for _, start, calls, asked in gold_traces(world, range(4)):
        for position in set(range(len(calls))) - set(asked):
            rest = [n for n in range(len(calls)) if n != position]
            fewer = keep_calls(to_plan(calls), rest)
            if fewer is None:
                continue
            session = world.environment.open(5)
            session.restore(start)
            assert execute_plan(session, fewer) is None


def test_directed_walks_beat_uniform_ones_over_the_same_tools(depot):
    report = compare_walks(depot.environment, depot.graph, walks=20, max_calls=4)
    assert report.directed.started == report.uniform.started == 20
    assert report.directed.reach_rate == 1.0
    assert report.directed.reached > report.uniform.reached
    assert report.uniform.executed >= report.directed.executed


def test_uniform_walks_have_the_same_numbers_each_time(board):
    first, second = (compare_walks(board.environment, board.graph, walks=5) for _ in range(2))
    assert first == second


def test_requests_are_the_asked_calls_and_what_nothing_uses(board, depot):
    walk, _, start = depot.walk("send_parcel")
    calls, asked = minimise(walk.session, start, walk.done, walk.asked)
    assert find_requests(calls, asked, set()) == [1]
    walk, _, start = board.walk("post_note")
    calls, asked = minimise(walk.session, start, walk.done, walk.asked)
    assert find_requests(calls, asked, {"log_in"}) == [1]
    assert find_requests(calls, asked, set()) == [0, 1]
