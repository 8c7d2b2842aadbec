"""The named checks, one turn at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest
from builders import executed

from funreason_agents import Environment
from funreason_agents.errors import VerificationError
from funreason_agents.schemas.tasks import CallTrace
from funreason_agents.schemas.tools import ExecutedCall, Origin
from funreason_agents.schemas.trajectory import CheckName, Message
from funreason_agents.verification import checks, verdict
from funreason_agents.verification.derivations import Facts


class Shop:
    """A shop."""

    def __init__(self) -> None:
        self.sold: list[str] = []

    def reset(self, seed: int) -> None:
        """Start again."""
        self.sold = []

    def dump_state(self) -> dict[str, Any]:
        """Return the state."""
        return {"sold": list(self.sold)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Set the state."""
        self.sold = list(state["sold"])

    def find(self, title: str, sort: str = "price") -> dict[str, Any]:
        """Find a book.

        Args:
            title: Its title.
            sort: What to sort by.
        """
        return {"code": "AB-1X"}

    def buy(self, code: str) -> dict[str, Any]:
        """Buy a book.

        Args:
            code: Its code.
        """
        self.sold.append(code)
        return {"receipt": "RC-9Z"}


FIND = executed("find", {"title": "Dune"}, {"code": "AB-1X"}, id="call_0")
FROM_FIND = {"/code": Origin(kind="output", call=0, path="/code")}
BUY = executed("buy", {"code": "AB-1X"}, {"receipt": "RC-9Z"}, states="ab", origins=FROM_FIND)


def case(*steps: ExecutedCall, sizes: tuple[int, ...] = (), **changes: Any) -> checks.TurnCase:
    """Return the case of an attempt; `sizes` are the numbers of calls in its messages."""
    messages, left = [], list(steps)
    for size in sizes or (1,) * len(steps):
        calls = tuple(step.call for step in left[:size])
        messages.append(Message(role="assistant", tool_calls=calls, reasoning="Next."))
        left = left[size:]
    reply = Message(role="assistant", content=changes.pop("reply", "Bought, receipt: RC-9Z."))
    gold = changes.pop("gold", (FIND, BUY))
    trace = CallTrace(
        environment_id="s",
        seed=0,
        target="buy",
        state_before=gold[0].state_before,
        calls=gold,
        requests=(1,),
    )
    values: dict[str, Any] = {
        "environment": Environment.from_class(Shop),
        "query": "Buy the book Dune.",
        "trace": trace,
        "messages": (*messages, reply),
        "executed": steps,
        "before": Facts(),
    }
    return checks.TurnCase(**{**values, **changes})


def test_a_right_attempt_passes_every_check() -> None:
    judged = verdict.judge_turn(case(FIND, BUY), checks.check_replays([FIND], [FIND]))
    assert judged.failed == ()
    assert {check.name for check in judged.checks} == set(get_args(CheckName))


def test_a_call_must_name_a_known_tool_and_fit_its_schema() -> None:
    assert not checks.check_calls_valid(case(executed("sell", {}))).passed
    assert not checks.check_calls_valid(case(executed("find", {"title": 3}))).passed
    assert not checks.check_calls_valid(case(executed("find", {"title": "x", "y": 1}))).passed


def test_saying_the_default_is_saying_nothing() -> None:
    said = executed("find", {"title": "Dune", "sort": "price"}, {"code": "AB-1X"})
    other = executed("find", {"title": "Dune", "sort": "pages"}, {"code": "AB-1X"})
    assert checks.check_calls_match(case(said, BUY)).passed
    assert not checks.check_calls_match(case(other, BUY)).passed


def test_two_reads_may_swap_but_the_end_state_must_agree() -> None:
    first, second = executed("find", {"title": "A"}, 1), executed("find", {"title": "B"}, 2)
    moved = executed("find", {"title": "A"}, 1, states="ac")
    assert checks.check_calls_match(case(second, first, gold=(first, second))).passed
    assert not checks.check_calls_match(case(second, moved, gold=(first, second))).passed


def test_outcome_mode_takes_another_way_to_the_same_results_and_state() -> None:
    other = executed("find", {"title": "Dune, 1965"}, {"code": "AB-1X"})
    assert not checks.check_calls_match(case(other, BUY)).passed
    assert checks.check_calls_match(case(other, BUY, mode="outcome")).passed
    assert not checks.check_calls_match(case(other, mode="outcome")).passed


def test_the_end_state_must_be_that_of_the_gold_calls() -> None:
    assert checks.check_end_state(case(FIND, BUY)).passed
    assert not checks.check_end_state(case(FIND)).passed
    assert not checks.check_end_state(case()).passed


def test_an_argument_must_follow_from_what_was_there_before_the_call() -> None:
    assert checks.check_arguments_derivable(case(FIND, BUY)).passed
    assert not checks.check_arguments_derivable(case(BUY, FIND)).passed


def test_calls_of_one_message_do_not_see_the_results_of_each_other() -> None:
    assert not checks.check_arguments_derivable(case(FIND, BUY, sizes=(2,))).passed


@pytest.mark.parametrize("reply", ["", "  \n", "Receipt: RC-8Z."])
def test_a_reply_must_be_there_and_be_true(reply: str) -> None:
    assert not checks.check_reply_grounded(case(FIND, BUY, reply=reply)).passed


def test_a_turn_that_ends_in_a_tool_result_has_no_reply() -> None:
    # As where the answer after the last call could not be used.
    result = Message(role="tool", content='{"receipt": "RC-9Z"}', tool_call_id="call_1", name="buy")
    turn = case(FIND, BUY)
    cut = replace(turn, messages=(*turn.messages[:-1], result))
    assert not checks.check_reply_grounded(cut).passed


def test_a_turn_that_ends_in_a_call_has_no_reply() -> None:
    turn = case(FIND, BUY)
    cut = case(FIND, BUY, messages=turn.messages[:-1])
    assert not checks.check_reply_grounded(cut).passed


@pytest.mark.parametrize("said", ["The gold-trace says so.", "My Critique", "a compositional hint"])
def test_scaffolding_may_not_be_mentioned(said: str) -> None:
    assert not checks.check_scaffolding_absent(case(FIND, BUY, reply=said)).passed


def test_a_word_of_the_conversation_is_no_scaffolding() -> None:
    turn = case(FIND, BUY, reply="I found the composition.", query="Which composition is it?")
    assert checks.check_scaffolding_absent(turn).passed


@pytest.mark.parametrize(
    "other",
    [executed("find", {}, 2), executed("find", {}, 1, is_error=True),
     executed("find", {}, 1, states="ab")],
)  # fmt: skip
def test_a_replay_must_give_result_error_flag_and_state(other: ExecutedCall) -> None:
    assert not checks.check_replays([executed("find", {}, 1)], [other]).passed


def test_a_check_that_could_not_run_is_an_error() -> None:
    with pytest.raises(VerificationError):
        checks.check_replays([FIND, BUY], [FIND])
    with pytest.raises(VerificationError):
        checks.check_arguments_derivable(case(FIND, BUY, sizes=(1,)))
    broken = case(FIND, BUY, trace=None)
    with pytest.raises(VerificationError):
        verdict.judge_turn(broken, checks.check_replays([], []))
