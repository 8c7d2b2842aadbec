from collections import Counter

import pytest
from pydantic import ValidationError

from funreason_agents import SynthesisContext
from funreason_agents.tool_graph.coverage import find_targets, plan_target

TOOLS = tuple("abcdefg")


def plan(trajectories, turns=3, attempt=1, **options):
    options = {"seed": 1, "turns": turns, "attempt": attempt, **options}
    return [
        plan_target(TOOLS, index=index, turn=turn, **options)
        for index in range(trajectories)
        for turn in range(turns)
    ]


@pytest.mark.parametrize("trajectories", [1, 3, 7, 20, 100])
def test_every_tool_is_a_target_equally_often_give_or_take_one(trajectories):
    counts = Counter(plan(trajectories))
    assert max(counts.values()) - min(counts[tool] for tool in TOOLS) <= 1


def test_plan_of_few_trajectories_begins_the_plan_of_many():
    assert plan(100)[:30] == plan(10)


def test_redraw_is_dealt_from_a_deck_of_its_own():
    assert plan(20, attempt=2) != plan(20)
    assert set(Counter(plan(7, attempt=2)).values()) == {3}


def test_plan_depends_on_the_seed():
    assert plan(5, seed=2) != plan(5)


def test_tools_are_not_shuffled_in_place():
    tools = list(TOOLS)
    plan_target(tools, seed=1, index=0, turn=0, turns=1, attempt=1)
    assert tools == list(TOOLS)


def test_plan_without_weights_is_the_one_that_it_always_was():
    assert "".join(plan(10)) == "cefdgabcaebfgddcgfabegecdbfaae"
    assert "".join(plan(10, attempt=2)) == "dcaebfgdbgeafcdfcegabegdafcbfg"


@pytest.mark.parametrize("weight", [1, 0.3, 1e-6])
def test_equal_weights_are_none(weight):
    assert plan(50, weights=dict.fromkeys(TOOLS, weight)) == plan(50)


WEIGHTS = {"a": 0.9, "b": 0.05, "c": 0.5, "d": 0.05, "e": 0.31, "f": 0.333, "g": 0.1}


@pytest.mark.parametrize("trajectories", [7, 100, 700])
def test_each_tool_is_a_target_as_often_as_its_weight_demands(trajectories):
    planned = plan(trajectories, weights=WEIGHTS)
    counts, total = Counter(planned), sum(WEIGHTS.values())
    assert counts.total() == 3 * trajectories
    for tool, weight in WEIGHTS.items():
        assert abs(counts[tool] - len(planned) * weight / total) <= 1


def test_decks_are_cut_from_the_sequence_of_sainte_lague():
    """Against giving out one seat after another, which no plan could do for a far index."""
    given, seats = Counter(), []
    for _ in range(70):
        due = min(TOOLS, key=lambda tool: ((2 * given[tool] + 1) / WEIGHTS[tool], tool))
        given[due] += 1
        seats.append(due)
    planned = [
        plan_target(TOOLS, seed=1, index=i, turn=0, turns=1, attempt=1, weights=WEIGHTS)
        for i in range(70)
    ]
    decks = [Counter(planned[start : start + 7]) for start in range(0, 70, 7)]
    assert decks == [Counter(seats[start : start + 7]) for start in range(0, 70, 7)]


def test_tool_of_little_weight_has_its_turn_too():
    assert "b" in plan(200, weights={**dict.fromkeys(TOOLS, 1.0), "b": 0.01})


def test_weighted_plan_of_few_trajectories_begins_the_plan_of_many_whatever_the_order():
    backwards = dict(reversed(WEIGHTS.items()))
    assert plan(100, weights=WEIGHTS)[:30] == plan(10, weights=backwards)


def test_a_far_place_is_planned_at_once():
    far = plan_target(TOOLS, seed=1, index=10**9, turn=0, turns=3, attempt=1, weights=WEIGHTS)
    assert far in TOOLS


def test_weight_0_is_no_target_and_an_unnamed_tool_gets_the_mean():
    assert find_targets(TOOLS, {"a": 1, "b": 0, "c": 0.5}) == tuple("acdefg")
    assert find_targets(TOOLS, {}) == TOOLS
    tools = find_targets(TOOLS, {"a": 1, "b": 0, "c": 0.5})
    counts = Counter(
        plan_target(tools, seed=1, index=i, turn=0, turns=1, attempt=1, weights={"a": 1, "c": 0.5})
        for i in range(450)
    )
    assert counts == {"a": 100, "c": 50, **dict.fromkeys("defg", 75)}


@pytest.mark.parametrize("weights", [{"a": -1.0}, {"a": 0.0}, {"a": float("nan")}])
def test_weights_that_mean_nothing_are_refused(weights):
    with pytest.raises(ValidationError, match="target_weights must be 0 or more, and not all 0"):
        SynthesisContext(target_weights=weights)
