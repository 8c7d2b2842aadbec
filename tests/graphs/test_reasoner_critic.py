import json

import pytest
from langchain_core.messages import AIMessage
from scripts import call_tools, calls, fail_first_round, give_up, locker_numbers, play

from funreason_agents import SynthesisContext, create_reasoner_critic
from funreason_agents.schemas.trajectory import Attempt, Verdict


def solve(environment, model, task, **context):
    reasoner = create_reasoner_critic(environment=environment, model=model)
    return reasoner.invoke({"turn_task": task}, context=SynthesisContext(**context))


def test_right_attempt_is_accepted_without_a_critic(environment, task):
    model = play()
    out = solve(environment, model, task)
    assert Verdict.model_validate(out["verdict"]).accepted
    assert (out["critiques"], out["rejection"]) == ([], None)
    assert not calls(model, "critiquing")


def test_reasoner_is_given_the_primitive_tools(environment, task):
    model = play()
    solve(environment, model, task)
    for asked in calls(model, "reasoning"):
        names = [tool["function"]["name"] for tool in asked.tools]
        assert names == [tool.name for tool in environment.tools]


def test_critique_leads_to_a_second_round(environment, task):
    out = solve(environment, play(reasoning=fail_first_round), task)
    assert out["attempt"]["round"] == 2
    assert [critique["round"] for critique in out["critiques"]] == [1]
    assert out["rejection"] is None


@pytest.mark.parametrize("rounds", [1, 3])
def test_rounds_are_bounded(environment, task, rounds):
    model = play(reasoning=give_up)
    out = solve(environment, model, task, critic_rounds=rounds)
    assert out["rejection"] == "calls_match"
    assert len(calls(model, "reasoning")) == rounds
    assert len(calls(model, "critiquing")) == rounds - 1


def test_critique_that_gives_a_gold_value_away_is_not_used(environment, task):
    (gold,) = set(locker_numbers(json.dumps(task["trace"])))

    def leak(call):
        return {"kind": "missing_call", "step": 0, "text": f"The locker is {gold}, open it."}

    model = play(reasoning=fail_first_round, critiquing=leak)
    out = solve(environment, model, task)
    assert gold not in json.dumps(out["critiques"])
    assert not [call for call in calls(model, "reasoning") if gold in str(call.data)]
    assert out["rejection"] is None


def test_critique_that_names_an_uncalled_gold_tool_is_not_used(environment, task):
    def leak(call):
        return {"kind": "missing_call", "step": 0, "text": "You should call find_locker first."}

    out = solve(environment, play(reasoning=fail_first_round, critiquing=leak), task)
    assert "find_locker" not in json.dumps(out["critiques"])


def test_unparseable_critique_is_replaced_by_the_difference(environment, task):
    model = play(reasoning=fail_first_round, critiquing=lambda call: "Try harder.")
    out = solve(environment, model, task)
    assert out["critiques"][0]["kind"] == "missing_call"
    assert out["rejection"] is None


def test_attempt_with_too_many_calls_is_stopped(environment, task):
    wander = call_tools(("find_locker", {"owner": "Mira Oduya"}))
    out = solve(environment, play(reasoning=lambda call: wander), task, critic_rounds=1)
    attempt = Attempt.model_validate(out["attempt"])
    assert attempt.stop == "too_many_calls"
    assert len(attempt.executed) == 2 * len(task["trace"]["calls"]) + 3
    assert out["rejection"]


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("fly", {}, "unknown tool 'fly'"),
        ("find_locker", {"owner": 3}, "invalid arguments at owner"),
        ("find_locker", {"owner": "Mira Oduya", "age": 3}, "invalid arguments"),
    ],
)
def test_invalid_call_is_an_error_result_and_fails_its_check(
    environment, task, name, arguments, problem
):
    def act(call):
        replied = any(message.type == "tool" for message in call.messages)
        return "Done." if replied else call_tools((name, arguments))

    out = solve(environment, play(reasoning=act), task, critic_rounds=1)
    result = out["attempt"]["messages"][1]
    assert result["is_error"]
    assert problem in result["content"]
    assert "calls_valid" in Verdict.model_validate(out["verdict"]).failed


def test_tool_that_says_no_is_shown_to_the_reasoner(environment, task):
    def act(call):
        told = [message for message in call.messages if message.type == "tool"]
        if told:
            assert told[0].status == "error"
            return "It did not work."
        return call_tools(("open_locker", {"locker_number": "L-0"}))

    out = solve(environment, play(reasoning=act), task, critic_rounds=1)
    assert out["attempt"]["executed"][0]["result"]["is_error"]


def test_parallel_calls_of_one_message_are_all_executed(environment, task):
    owner = task["trace"]["calls"][0]["call"]["arguments"]["owner"]

    def act(call):
        if any(message.type == "tool" for message in call.messages):
            return "Done."
        return call_tools(
            ("find_locker", {"owner": owner}), ("find_locker", {"owner": "Raj Benali"})
        )

    out = solve(environment, play(reasoning=act), task, critic_rounds=1)
    assert [m["role"] for m in out["attempt"]["messages"]] == [
        "assistant", "tool", "tool", "assistant",
    ]  # fmt: skip


def test_reasoning_is_kept_apart_from_the_reply(environment, task):
    def act(call):
        if any(message.type == "tool" for message in call.messages):
            return None
        made = call_tools(("find_locker", task["trace"]["calls"][0]["call"]["arguments"]))
        return AIMessage("<think>Whose locker?</think>", tool_calls=made.tool_calls)

    out = solve(environment, play(reasoning=act), task)
    assert out["attempt"]["messages"][0]["reasoning"] == "Whose locker?"
    assert out["attempt"]["messages"][0]["content"] == ""
    assert out["rejection"] is None


def test_empty_answer_is_rejected_not_accepted(environment, task):
    out = solve(environment, play(reasoning=lambda call: AIMessage("")), task, critic_rounds=1)
    assert out["rejection"]


def test_second_run_on_a_thread_starts_at_round_one(environment, task, saver, thread):
    def make(model):
        return create_reasoner_critic(environment=environment, model=model, checkpointer=saver)

    make(play(reasoning=give_up)).invoke({"turn_task": task}, thread)
    again = make(play()).invoke({"turn_task": task}, thread)
    assert (again["attempt"]["round"], again["critiques"]) == (1, [])
    assert again["rejection"] is None
