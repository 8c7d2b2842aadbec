"""Each operator makes a turn hard only where it can be, and says all that a checker needs."""

import json
import random
import re
from typing import Any

import pytest
from hard_worlds import Twins, lend, make_scene, make_trace

from funreason_agents import Environment
from funreason_agents.config import SynthesisContext
from funreason_agents.environments.execution import PlannedCall
from funreason_agents.hard_turns.filler import write_filler
from funreason_agents.hard_turns.foreign_tools import FOREIGN_TOOLS
from funreason_agents.hard_turns.planning import (
    Scene,
    make_foreign_tool,
    plan_hard_turn,
    set_task,
)
from funreason_agents.schemas.tasks import HardTurn, TurnTask
from funreason_agents.verification.derivations import Facts
from funreason_agents.verification.likeness import find_related
from funreason_agents.verification.query_gate import find_query_problems
from funreason_agents.verification.turn_kinds import find_held

QUERY = 'Please hand a volume out (name: "Mira Oduya"; title: "Salt and Rope").'
SEEDS = range(8)


def planned(kind: Any, scene: Scene) -> HardTurn:
    hard = plan_hard_turn(kind, scene)
    assert isinstance(hard, HardTurn)
    return hard


def task_of(scene: Scene, hard: HardTurn | None, seed: int = 0) -> TurnTask:
    assert scene.tool is not None
    return set_task(QUERY, scene.tool, scene.trace, 2, hard, random.Random(seed))


def drawn(kind: Any, environment: Environment, scene: Scene) -> list[HardTurn]:
    """Plan the same turn with several seeds."""
    return [
        planned(kind, make_scene(environment, scene.trace, generator=random.Random(seed)))
        for seed in SEEDS
    ]


def test_a_plain_turn_stays_as_it_is(scene: Scene) -> None:
    task = task_of(scene, None)
    assert (task.query, task.trace, task.query_rounds) == (QUERY, scene.trace, 2)
    assert (task.hard, task.then, task.pending) == (None, None, "")


# --- Missing function.


def test_the_requested_tool_is_withheld_and_then_handed_over(scene: Scene) -> None:
    task = task_of(scene, planned("missing_function", scene))
    assert task.hard is not None
    assert "lend_book" not in {tool.name for tool in task.hard.offer(scene.tools)}
    assert (task.trace.calls, task.trace.target) == ((), "")
    assert task.trace.state_after == scene.trace.state_before
    then = task.then
    assert then is not None and then.hard is not None
    assert then.hard.part == 2 and then.hard.offer(scene.tools) == scene.tools
    assert (then.trace, then.pending, then.then) == (scene.trace, QUERY, None)


def test_a_tool_that_only_serves_a_request_is_never_withheld(
    environment: Environment, scene: Scene
) -> None:
    assert {h.function for h in drawn("missing_function", environment, scene)} == {"lend_book"}


def test_a_tool_that_was_called_before_is_not_withheld(
    environment: Environment, scene: Scene
) -> None:
    seen = make_scene(environment, scene.trace, called=frozenset({"lend_book"}))
    assert plan_hard_turn("missing_function", seen) == "no_function_to_withhold"


def test_a_tool_that_another_can_stand_in_for_is_not_withheld() -> None:
    twins = Environment.from_class(Twins)
    trace = make_trace(twins, [PlannedCall("read_gauge", {"tank": "north basin"})])
    assert plan_hard_turn("missing_function", make_scene(twins, trace)) == "no_function_to_withhold"


def find(name: str) -> PlannedCall:
    return PlannedCall("find_card", {"name": name})


def test_no_tool_is_withheld_that_leaves_another_request_to_serve(
    environment: Environment,
) -> None:
    plan = [find("Ines Kato"), PlannedCall("draw_ticket", {"counter": "loans desk"})]
    trace = make_trace(environment, plan, requests=(0, 1))
    scene = make_scene(environment, trace)
    assert plan_hard_turn("missing_function", scene) == "no_function_to_withhold"
    assert plan_hard_turn("missing_parameter", scene) == "nothing_to_omit"


def test_a_tool_that_all_requests_rest_on_may_be_withheld(environment: Environment) -> None:
    scene = make_scene(environment, make_trace(environment, lend(), requests=(0, 1)))
    assert {h.function for h in drawn("missing_function", environment, scene)} == {"find_card"}
    omitted = [h.omitted for h in drawn("missing_parameter", environment, scene)]
    assert {each.label for each in omitted if each} == {"name"}


def test_what_hands_the_tool_over_names_none(environment: Environment, scene: Scene) -> None:
    hard = planned("missing_function", scene)
    parts = [task_of(scene, hard, seed).then for seed in range(30)]
    texts = {part.query for part in parts if part is not None}
    assert len(texts) >= 4
    for text in texts:
        assert not re.search(r"[_\d]", text)
        assert not find_query_problems(text, scene.trace, environment.tools, Facts(), pending=QUERY)


# --- Missing parameter.


def test_a_value_is_left_out_and_supplied_when_asked_for(
    environment: Environment, scene: Scene
) -> None:
    for seed, hard in enumerate(drawn("missing_parameter", environment, scene)):
        assert hard.omitted is not None and hard.omitted.description in (
            "Full name of the member.", "Title of the volume.",
        )  # fmt: skip
        then = task_of(scene, hard, seed).then
        assert then is not None and then.trace == scene.trace
        assert f"{hard.omitted.label} is {json.dumps(hard.omitted.value)}" in then.query
    labels = {h.omitted.label for h in drawn("missing_parameter", environment, scene) if h.omitted}
    assert labels == {"name", "title"}


def test_a_value_that_the_conversation_holds_is_not_left_out(
    environment: Environment, scene: Scene
) -> None:
    before = Facts().add_text("I am Mira Oduya.")
    for seed in SEEDS:
        held = make_scene(environment, scene.trace, before=before, generator=random.Random(seed))
        omitted = planned("missing_parameter", held).omitted
        assert omitted is not None and omitted.label == "title"
    both = make_scene(environment, scene.trace, before=before.add_text("Salt and Rope"))
    assert plan_hard_turn("missing_parameter", both) == "nothing_to_omit"


def test_a_value_with_a_default_or_inside_another_one_is_not_left_out(
    environment: Environment,
) -> None:
    plan = lend(name="Mira Oduya", title="Songs of Mira Oduya", shelf="attic")
    trace = make_trace(environment, plan, requests=(1,))
    for hard in drawn("missing_parameter", environment, make_scene(environment, trace)):
        assert hard.omitted is not None and hard.omitted.label == "title"


def test_a_label_that_means_two_values_is_not_left_out(environment: Environment) -> None:
    plan = [PlannedCall("draw_ticket", {"counter": each}) for each in ("returns", "loans desk")]
    trace = make_trace(environment, plan, requests=(0, 1))
    assert plan_hard_turn("missing_parameter", make_scene(environment, trace)) == "nothing_to_omit"


# --- Long context.


def test_text_and_tools_that_nothing_needs_stand_around_the_request(
    environment: Environment, scene: Scene
) -> None:
    sides = set()
    for seed, hard in enumerate(drawn("long_context", environment, scene)):
        task = task_of(scene, hard, seed)
        assert 2000 <= len(hard.filler) < 3000
        assert task.query.replace(hard.filler, "").strip() == QUERY
        sides.add(task.query.startswith(QUERY))
        assert len({tool.name for tool in hard.distractors}) == 5
        assert hard.offer(scene.tools) == (*scene.tools, *hard.distractors)
        assert all(find_related(tool, scene.tools) is None for tool in hard.distractors)
    assert sides == {True, False}


def test_a_pool_that_is_too_small_is_offered_whole(environment: Environment, scene: Scene) -> None:
    many = make_scene(
        environment,
        scene.trace,
        context=SynthesisContext(distractors=64),
    )
    assert 40 <= len(planned("long_context", many).distractors) <= len(FOREIGN_TOOLS)


def test_the_text_holds_none_of_the_values_to_avoid() -> None:
    words = ["compost", "the treasurer", "Rehearsal notes"]
    plain = write_filler(8000, [], random.Random(4))
    text = write_filler(8000, words, random.Random(4))
    assert plain is not None and text is not None
    assert find_held(plain, iter(words)) == words
    assert find_held(text, iter(words)) == []
    assert write_filler(1000, ["the", "and", "was", "is", "by"], random.Random(4)) is None


@pytest.mark.parametrize("length", [500, 6000, 120_000])
def test_the_text_is_as_long_as_asked_for_and_holds_no_digits(length: int) -> None:
    text = write_filler(length, [], random.Random(0))
    assert text is not None and length <= len(text) < length + 1000
    assert not re.search(r"[\d_{}\"]", text)
    paragraphs = text.split("\n\n")
    assert len(set(paragraphs)) == len(paragraphs)


# --- Irrelevance.


def test_the_request_takes_a_tool_that_nothing_is_related_to(
    environment: Environment, scene: Scene
) -> None:
    idle = scene.trace.model_copy(update={"calls": (), "requests": (), "target": ""})
    names = set()
    for seed in SEEDS:
        bare = make_scene(environment, idle, tool=None, generator=random.Random(seed))
        hard = planned("irrelevance", bare)
        assert hard.foreign is not None and find_related(hard.foreign, environment.tools) is None
        tool = make_foreign_tool(hard, random.Random(seed))
        assert tool.composition == () and tool.description[0].islower()
        assert hard.foreign.description.lower() == f"{tool.description}.".lower()
        assert len(tool.inputs) == len(hard.foreign.properties)
        names.add(tool.name)
    assert len(names) >= 4


def test_a_pool_with_nothing_unrelated_gives_no_turn(scene: Scene) -> None:
    everything = make_scene(_Stub(FOREIGN_TOOLS), scene.trace)
    assert plan_hard_turn("irrelevance", everything) == "no_foreign_tool"


class _Stub:
    def __init__(self, tools: Any) -> None:
        self.tools = tools


def test_the_pool_has_plain_tools_with_a_value_for_each_parameter() -> None:
    assert len(FOREIGN_TOOLS) == len({tool.name for tool in FOREIGN_TOOLS}) >= 60
    for tool in FOREIGN_TOOLS:
        assert 1 <= len(tool.properties) <= 3
        for schema in tool.properties.values():
            assert schema["description"] and len(schema["examples"]) >= 2


# --- What a trace must bring along.


def test_kinds_that_rest_on_execution_need_its_outcome(
    environment: Environment, scene: Scene
) -> None:
    assert plan_hard_turn("error_recovery", scene) == "no_mistake"
    mistaken = scene.trace.model_copy(update={"mistake": scene.trace.calls[0]})
    assert planned("error_recovery", make_scene(environment, mistaken)).part == 1
    assert planned("parallel_calls", scene) == HardTurn(kind="parallel_calls")
    single = scene.trace.model_copy(update={"calls": scene.trace.calls[:1]})
    assert plan_hard_turn("parallel_calls", make_scene(environment, single)) == "no_parallel_calls"


@pytest.mark.parametrize(
    "kind", ["missing_function", "missing_parameter", "long_context", "irrelevance"]
)
def test_the_same_seed_plans_the_same_turn(
    environment: Environment, scene: Scene, kind: Any
) -> None:
    first, second = (drawn(kind, environment, scene) for _ in range(2))
    assert first == second
