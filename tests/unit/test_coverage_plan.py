from collections import Counter

import pytest

from funreason_agents.tool_graph.coverage import plan_target

TOOLS = tuple("abcdefg")


def plan(trajectories, turns=3, seed=1, attempt=1):
    return [
        plan_target(TOOLS, seed=seed, index=index, turn=turn, turns=turns, attempt=attempt)
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
