"""An attempt's calls against the gold calls."""

from __future__ import annotations

from builders import executed

from funreason_agents.schemas.tools import Origin
from funreason_agents.verification.matching import match_calls, missing_results

FROM_FIRST = {"/code": Origin(kind="output", call=0, path="/code")}
FIND = executed("find", {"city": "Oslo"}, {"code": "A1"})
OTHER = executed("rate", {"currency": "EUR"}, {"rate": 0.9})
HOLD = executed("hold", {"code": "A1"}, {"id": "H1"}, states="ab", origins=FROM_FIRST)


def test_equal_calls_match() -> None:
    assert match_calls([FIND, HOLD], [FIND, HOLD]).complete


def test_independent_calls_may_swap() -> None:
    match = match_calls([FIND, OTHER], [OTHER, FIND])
    assert match.complete
    assert match.swapped


def test_a_call_may_not_come_before_the_one_whose_output_it_uses() -> None:
    assert not match_calls([FIND, HOLD], [HOLD, FIND]).complete


def test_a_missing_call_is_a_problem() -> None:
    assert match_calls([FIND, HOLD], [FIND]).problem["kind"] == "missing_call"


def test_another_argument_is_a_problem_and_named() -> None:
    wrong = executed("find", {"city": "Rome"}, {"code": "A1"})
    assert match_calls([FIND], [wrong]).problem["parameter"] == "city"


def test_a_refused_call_is_no_counterpart() -> None:
    refused = executed("find", {"city": "Oslo"}, {"code": "A1"}, is_error=True)
    assert not match_calls([FIND], [refused]).complete


def test_a_counterpart_must_give_the_gold_result() -> None:
    shouted = executed("find", {"city": "OSLO"}, {"code": None})
    assert match_calls([FIND], [shouted]).problem["kind"] == "wrong_source"


def test_an_extra_call_passes_only_if_the_state_did_not_move() -> None:
    assert match_calls([FIND], [FIND, OTHER]).complete
    assert match_calls([FIND], [FIND, HOLD]).problem["kind"] == "extra_call"


def test_another_output_for_the_same_thing_is_followed() -> None:
    find = executed("find", {"city": "Oslo"}, {"code": "B2"})
    hold = executed("hold", {"code": "B2"}, {"id": "H1"}, states="ab")
    assert match_calls([FIND, HOLD], [find, hold]).problem["step"] == 0
    assert "code" not in str(match_calls([FIND, HOLD], [find, hold]).problem.get("parameter"))


def test_outputs_are_followed_through_keys_with_a_slash() -> None:
    origins = {"/a~1b": Origin(kind="output", call=0, path="/code")}
    gold = executed("hold", {"a/b": "stale"}, 1, origins=origins)
    assert match_calls([FIND, gold], [FIND, executed("hold", {"a/b": "A1"}, 1)]).complete


def test_outcome_mode_wants_each_gold_result_once() -> None:
    assert missing_results([FIND, OTHER], [OTHER, FIND]) == []
    assert missing_results([FIND, FIND], [FIND]) == [1]
    assert missing_results([executed("x", {}, None)], []) == [0]
