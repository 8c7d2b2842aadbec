"""Hard turns through the graphs: what is drawn, who is told what, and what is kept."""

import threading
from collections import Counter
from typing import get_args

import pytest
from langchain_core.messages import AIMessage
from scripts import call_tools, calls, fail_first_round, offline_answer, play

from funreason_agents import (
    SynthesisContext,
    create_query_writer,
    create_reasoner_critic,
    create_supervisor,
)
from funreason_agents.graphs.supervisor import draw_kind
from funreason_agents.schemas.tasks import HardTurnKind


def run(environment, kind, index=0, **roles):
    model = play(**roles)
    supervisor = create_supervisor(environment=environment, model=model)
    context = SynthesisContext(turns=2, hard_turns={kind: 1.0}, extra_rate=0.0)
    return model, supervisor.invoke({"seed": 5, "index": index}, context=context)["trajectory"]


def test_kinds_are_drawn_by_their_shares():
    context = SynthesisContext(hard_turns={"irrelevance": 0.2, "long_context": 0.3})
    drawn = Counter(draw_kind(1, index, 0, context) for index in range(2000))
    assert set(drawn) == {"irrelevance", "long_context", "plain"}
    assert abs(drawn["irrelevance"] - 400) < 80
    assert abs(drawn["long_context"] - 600) < 90


@pytest.mark.parametrize(
    "shares", [{"irrelevance": 0.6, "long_context": 0.6}, {"irrelevance": -0.1}]
)
def test_shares_that_make_no_sense_are_refused(shares):
    with pytest.raises(ValueError, match="sum to 1 at most"):
        SynthesisContext(hard_turns=shares)


@pytest.mark.parametrize("kind", get_args(HardTurnKind))
def test_accepted_turns_say_which_kind_they_are(environment, kind):
    kinds = Counter()
    for index in range(6):
        _, trajectory = run(environment, kind, index)
        kinds.update(turn["hard"]["kind"] for turn in trajectory["turns"] if turn["hard"])
    if kind == "parallel_calls":  # two things to do at once are rare with three lockers
        assert set(kinds) <= {kind}
    else:
        assert set(kinds) == {kind}


@pytest.mark.parametrize("kind", ["missing_function", "missing_parameter"])
def test_turn_of_two_messages_is_one_planned_turn(environment, kind):
    trajectory = next(
        found
        for index in range(20)
        if (found := run(environment, kind, index)[1])["status"] == "accepted"
        and any(turn["hard"] for turn in found["turns"])
    )
    turns = [turn for turn in trajectory["turns"] if turn["hard"]]
    assert [turn["hard"]["part"] for turn in turns] == [1, 2] * (len(turns) // 2)
    assert {turn["index"] for turn in trajectory["turns"]} == {0, 1}
    assert not turns[0]["trace"]["calls"] and not turns[0]["attempt"]["executed"]
    assert turns[1]["trace"]["calls"]


def test_missing_function_is_offered_only_when_it_is_handed_over(environment):
    model, trajectory = run(environment, "missing_function")
    offered = [
        {tool["function"]["name"] for tool in call.tools} for call in calls(model, "reasoning")
    ]
    first = next(turn for turn in trajectory["turns"] if turn["hard"])
    missing = first["hard"]["function"]
    assert missing not in offered[0]
    assert missing in offered[1]
    hint = calls(model, "reasoning")[0].data
    assert (hint["description"], hint["composition"]) == (None, [])


def test_a_model_that_calls_what_is_not_offered_is_refused_and_changes_nothing(environment):
    def call_it_anyway(call):
        names = {tool["function"]["name"] for tool in call.tools}
        missing = {"find_locker", "open_locker", "empty_locker"} - names
        if not missing:
            return None
        return call_tools((missing.pop(), {"owner": "Ines Kato", "locker_number": "L-1"}))

    _, trajectory = run(environment, "missing_function", reasoning=call_it_anyway)
    assert not any(turn["hard"] for turn in trajectory["turns"])
    rejected = [r for r in trajectory["rejected_turns"] if r["stage"] == "reasoner_critic"]
    assert rejected
    failed = {check["name"] for check in rejected[0]["checks"] if not check["passed"]}
    assert {"calls_match", "turn_kind"} <= failed


def test_a_rejected_second_message_takes_the_first_one_with_it(environment):
    def fail_on_the_value(call):
        asked = [m for m in call.messages if m.type == "human"]
        return "I cannot do that." if len(asked) > 1 else None

    _, trajectory = run(environment, "missing_parameter", reasoning=fail_on_the_value)
    parts = [turn["hard"]["part"] for turn in trajectory["turns"] if turn["hard"]]
    assert parts in ([], [1, 2])
    assert trajectory["rejected_turns"]


def test_the_planted_mistake_is_not_trained_on_and_its_result_is_real(environment):
    for index in range(10):
        _, trajectory = run(environment, "error_recovery", index)
        for turn in trajectory["turns"]:
            if not turn["hard"]:
                continue
            mistake, result = turn["attempt"]["messages"][:2]
            assert mistake["trainable"] is False
            assert result["is_error"] is True
            assert turn["trace"]["mistake"]["result"]["is_error"] is True
            return
    raise AssertionError


def test_refused_call_of_the_model_itself_is_not_trained_on(environment, task):
    def stumble(call):
        if any(message.type == "tool" for message in call.messages):
            return None
        return call_tools(("find_locker", {"owner": "locker"}))

    reasoner = create_reasoner_critic(environment=environment, model=play(reasoning=stumble))
    attempt = reasoner.invoke({"turn_task": task})["attempt"]
    refused = {m["tool_call_id"] for m in attempt["messages"] if m["is_error"]}
    assert refused
    for message in attempt["messages"]:
        made = {call["id"] for call in message["tool_calls"]}
        if message["role"] == "assistant":
            assert message["trainable"] is not bool(made & refused)


@pytest.mark.parametrize("count", [1, 4])
def test_first_accepted_sample_of_a_round_is_taken(environment, task, count):
    model = play()
    reasoner = create_reasoner_critic(environment=environment, model=model)
    out = reasoner.invoke({"turn_task": task}, context=SynthesisContext(samples_per_round=count))
    assert out["rejection"] is None
    assert out["accepted_samples"] == [count]
    assert out["attempt"]["sample"] == 0
    assert len(calls(model, "reasoning")) == 3 * count


def test_samples_that_fail_do_not_hide_one_that_is_right(environment, task):
    lock, begun = threading.Lock(), []

    def give_up_thrice(call):
        if any(message.type == "tool" for message in call.messages):
            return None
        with lock:
            begun.append(call)
            return "I cannot do that." if len(begun) <= 3 else None

    reasoner = create_reasoner_critic(environment=environment, model=play(reasoning=give_up_thrice))
    out = reasoner.invoke({"turn_task": task}, context=SynthesisContext(samples_per_round=4))
    assert out["rejection"] is None
    assert out["accepted_samples"] == [1]
    assert out["attempt"]["round"] == 1


def test_more_calls_than_are_executed_are_a_rejection_no_breakdown(environment, task):
    many = call_tools(*[("find_locker", {"owner": "Ines Kato"})] * 60)
    reasoner = create_reasoner_critic(environment=environment, model=play(reasoning=lambda _: many))
    out = reasoner.invoke({"turn_task": task}, context=SynthesisContext(critic_rounds=1))
    assert out["attempt"]["stop"] == "too_many_calls"
    assert out["rejection"]


def test_query_that_copies_why_it_was_refused_is_refused_again(environment, trace):
    def copy(call):
        problems = call.data["problems"]
        return {"query": " ".join(problems) + " Ines Kato" if problems else "Please help me."}

    out = create_query_writer(environment=environment, model=play(querying=copy)).invoke(
        {"call_trace": trace}
    )
    assert out["rejection"] == "query_gate"


def test_judge_can_only_reject(environment, trace):
    def run_with(**roles):
        writer = create_query_writer(environment=environment, model=play(**roles))
        return writer.invoke({"call_trace": trace}, context=SynthesisContext(judge_queries=True))

    refuse = {"natural": False, "answerable": True, "reason": "odd"}
    praise = {"natural": True, "answerable": True, "reason": ""}
    assert run_with(judging=lambda _: praise)["turn_task"]
    assert run_with(judging=lambda _: refuse)["rejection"] == "query_gate"
    bad = run_with(judging=lambda _: praise, querying=lambda _: {"query": "Please help me."})
    assert bad["rejection"] == "query_gate"


def test_critique_that_contradicts_the_verifier_is_replaced(environment, task):
    def contradict(call):
        return {**offline_answer(call), "kind": "extra_call", "text": "Too many calls."}

    model = play(reasoning=fail_first_round, critiquing=contradict)
    out = create_reasoner_critic(environment=environment, model=model).invoke({"turn_task": task})
    assert [critique["kind"] for critique in out["critiques"]] == ["missing_call"]
    assert "Too many" not in out["critiques"][0]["text"]


def test_right_calls_without_a_usable_reply_are_no_turn(environment, task):
    def cut_off(call):
        if sum(message.type == "tool" for message in call.messages) < 2:
            return None
        return AIMessage("The locker ho", response_metadata={"finish_reason": "length"})

    reasoner = create_reasoner_critic(environment=environment, model=play(reasoning=cut_off))
    out = reasoner.invoke({"turn_task": task}, context=SynthesisContext(critic_rounds=2))
    assert out["rejection"] == "unusable_answer: truncated"
    assert out["accepted_samples"] == [0, 0]
