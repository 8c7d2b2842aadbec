"""Equations 1 and 2 on graphs written by hand."""

from collections import Counter

import pytest

from funreason_agents.schemas.tools import Origin, ToolEdge, ToolGraph
from funreason_agents.seeding import rng
from funreason_agents.tool_graph.arguments import exclusion_key
from funreason_agents.tool_graph.coverage import plan_target
from funreason_agents.tool_graph.sampler import (
    Situation,
    plan_lookups,
    sample_next,
    state_ancestors,
)
from funreason_agents.tool_graph.values import Value


def requires(source, target, *, group=None, necessary=True):
    return ToolEdge(
        source=source,
        target=target,
        kind="requires",
        evidence=("declared",),
        group=group or f"requires {source}",
        necessary=necessary,
    )


def provides(source, target, parameter, *, necessary=True):
    return ToolEdge(
        source=source,
        target=target,
        kind="provides",
        evidence=("probed",),
        group=f"provides {parameter}",
        output_field="code",
        parameter=parameter,
        necessary=necessary,
    )


def output(source, value, call=0, kind="output"):
    return Value("code", "", value, Origin(kind=kind, call=call, path="/code"), source=source)


def situation(target, *edges, tools="abcdt", writes=(), **more):
    graph = ToolGraph(environment_id="x", tools=tuple(tools), edges=edges, writes=tuple(writes))
    start = {"satisfied": (), "called_this_turn": (), "outputs": (), "allowed": tuple(tools)}
    return Situation(graph=graph, target=target, **{**start, **more})


def draws(case, n=60):
    return Counter(sample_next(case, rng("draw", number)) for number in range(n))


def test_a_tool_is_legal_when_every_group_is_met_by_any_of_its_members():
    edges = (requires("a", "t", group="x"), requires("b", "t", group="x"), requires("c", "t"))
    assert not situation("t", *edges).is_legal("t")
    assert not situation("t", *edges, satisfied=("a",)).is_legal("t")
    assert situation("t", *edges, satisfied=("b", "c")).is_legal("t")


def test_a_tool_that_is_not_allowed_is_never_legal():
    assert not situation("t", allowed=("a",)).is_legal("t")


def test_two_parameters_need_two_values():
    edges = (provides("a", "t", "left"), provides("a", "t", "right"))
    one, two = output("a", "1"), output("a", "2", call=1)
    assert not situation("t", *edges, outputs=(one,)).is_legal("t")
    assert situation("t", *edges, outputs=(two, one)).is_legal("t")


def test_a_refused_value_does_not_make_a_tool_legal():
    case = {"outputs": (output("a", "1"),), "excluded": {exclusion_key("t", "left", "1")}}
    assert not situation("t", provides("a", "t", "left"), **case).is_legal("t")


def test_an_optional_group_counts_only_when_it_is_to_be_looked_up():
    edge = provides("a", "t", "left", necessary=False)
    assert situation("t", edge).is_legal("t")
    assert not situation("t", edge, looked_up={("t", "left")}).is_legal("t")


def test_a_look_up_of_an_earlier_turn_is_made_again():
    edge, old = provides("a", "t", "left", necessary=False), output("a", "1", kind="history")
    assert not situation("t", edge, looked_up={("t", "left")}, outputs=(old,)).is_legal("t")


def test_an_effect_needed_at_times_counts_once_it_is_in_doubt():
    edge = requires("a", "t", necessary=False)
    assert situation("t", edge).is_legal("t")
    assert not situation("t", edge, revoked={"a"}).is_legal("t")
    assert situation("t", edge, revoked={"a"}, satisfied={"a"}).is_legal("t")


def test_first_branch_after_the_target_any_legal_tool_may_follow():
    case = situation("t", requires("a", "b"), called_this_turn=("t",), tools="abt")
    assert set(draws(case)) == {"a", "t"}


def test_second_branch_the_target_is_taken_as_soon_as_it_is_legal():
    assert set(draws(situation("t", requires("a", "t"), satisfied=("a",)))) == {"t"}


def test_third_branch_the_nearest_tool_that_serves_is_taken():
    edges = (requires("a", "t"), requires("b", "a"), requires("c", "t"))
    assert set(draws(situation("t", *edges))) == {"c"}
    assert set(draws(situation("t", *edges, satisfied=("c",)))) == {"b"}


def test_third_branch_takes_no_tool_that_serves_nothing():
    assert set(draws(situation("t", requires("a", "t"), requires("d", "c")))) == {"a"}


def test_third_branch_calls_a_look_up_again_for_the_second_parameter():
    edges = (provides("a", "t", "left"), provides("a", "t", "right"))
    case = situation("t", *edges, called_this_turn=("a",), outputs=(output("a", "1"),))
    assert set(draws(case)) == {"a"}


def test_ties_are_broken_by_the_generator_alone():
    case = situation("t", provides("a", "t", "x"), provides("b", "t", "x"))
    found = draws(case, 200)
    assert set(found) == {"a", "b"}
    assert min(found.values()) > 60
    assert [sample_next(case, rng(7)) for _ in range(5)].count(sample_next(case, rng(7))) == 5


def test_of_equally_near_providers_one_that_only_reads_is_taken():
    case = situation("t", provides("a", "t", "x"), provides("b", "t", "x"), writes=("a",))
    assert set(draws(case)) == {"b"}


def test_a_dead_end_is_none():
    assert sample_next(situation("t", requires("a", "t"), allowed=("t", "b")), rng(0)) is None
    assert sample_next(situation("t", requires("a", "t"), requires("t", "a")), rng(0)) is None


def test_state_ancestors_follow_necessary_edges_only():
    edges = (
        requires("a", "t"), provides("b", "t", "x"), requires("c", "b"),
        requires("d", "a", necessary=False),
    )  # fmt: skip
    assert state_ancestors(situation("t", *edges).graph, "t") == {"a", "c"}
    assert state_ancestors(situation("a", *edges).graph, "a") == {"d"}


def test_look_ups_are_drawn_among_the_optional_parameters():
    edges = (provides("a", "t", "x", necessary=False), provides("b", "t", "y"))
    graph = situation("t", *edges).graph
    assert plan_lookups(graph, "t", lambda: True) == {("t", "x")}
    assert plan_lookups(graph, "t", lambda: False) == frozenset()


@pytest.mark.parametrize("attempt", [1, 2])
def test_every_tool_is_a_target_equally_often(attempt):
    tools = [f"tool{number}" for number in range(7)]
    drawn = Counter(
        plan_target(tools, seed=3, index=index, turn=turn, turns=3, attempt=attempt)
        for index in range(50)
        for turn in range(3)
    )
    assert set(drawn) == set(tools)
    assert max(drawn.values()) - min(drawn.values()) <= 1


def test_a_redraw_comes_from_a_deck_of_its_own():
    tools = tuple("abcdefgh")
    options = {"seed": 1, "turn": 0, "turns": 1}
    first = [plan_target(tools, index=i, attempt=1, **options) for i in range(8)]
    second = [plan_target(tools, index=i, attempt=2, **options) for i in range(8)]
    assert first != second
