"""How values are compared and found in text."""

from __future__ import annotations

from typing import Any

import pytest

from funreason_agents.verification.values import (
    dates_in,
    is_distinctive,
    is_trivial,
    numbers_in,
    same_value,
    text_holds,
)


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, 1.0), ("Leeds ", "leeds"), ("a  b", "A b"), ([1, "x"], [1.0, "X"]), ({"a": 1}, {"a": 1.0}),
     ("RSV\u20111", "rsv-1"), ("cafe\u0301", "caf\u00e9")],
)  # fmt: skip
def test_the_same_value_may_be_written_in_several_ways(left: Any, right: Any) -> None:
    assert same_value(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, True), (0, False), (0, None), ("1", 1), ([1, 2], [2, 1]), ({"a": 1}, {"a": 1, "b": 2}),
     (45.5, 45.51), ("", None)],
)  # fmt: skip
def test_different_values_are_not_the_same(left: Any, right: Any) -> None:
    assert not same_value(left, right)


@pytest.mark.parametrize(
    ("text", "number"),
    [("1,250.5 kg", 1250.5), ("\u20ac45,50", 45.5), ("1.250,50", 1250.5), ("12%", 12),
     ("\u22125 degrees", -5), ("1\u202f250", 1250), ("twenty-five", 25), ("45kg", 45),
     ("sizes 1,2 and 3", 2), ("$45.50.", 45.5)],
)  # fmt: skip
def test_numbers_are_read_in_their_usual_forms(text: str, number: float) -> None:
    assert number in numbers_in(text)


@pytest.mark.parametrize(
    ("text", "number"), [("RSV-4F7K2", 4), ("sizes 1,2", 12), ("v2x9", 2), ("seventy", 7)]
)
def test_a_part_of_a_word_is_no_number(text: str, number: float) -> None:
    assert number not in numbers_in(text)


@pytest.mark.parametrize("text", ["2031-08-12", "AB-12-8", "12:08"])
def test_parts_of_dates_and_codes_are_no_plain_numbers(text: str) -> None:
    assert numbers_in(text, plain=True) == []


@pytest.mark.parametrize(
    "text",
    ["2031-03-04", "March 4, 2031", "Mar. 4th 2031", "the 4th of March 2031", "4 March, 2031",
     "3/4/2031", "04.03.2031", "2031-03-04T10:00"],
)  # fmt: skip
def test_dates_are_read_in_their_usual_forms(text: str) -> None:
    assert (2031, 3, 4) in dates_in(text)


@pytest.mark.parametrize("text", ["2031-02-30", "2031-03-045", "2031-03-04x", "March 45", "may go"])
def test_what_is_no_date_is_not_read_as_one(text: str) -> None:
    assert dates_in(text) == []


def test_a_text_holds_whole_words_only() -> None:
    assert text_holds("Fly to Oslo.", "oslo")
    assert not text_holds("Foslovia", "oslo")
    assert not text_holds("anything", None)
    assert not text_holds("True", True)


def test_trivial_and_distinctive_values() -> None:
    assert all(map(is_trivial, (0, 1, True, None, "", "1")))
    assert not any(map(is_trivial, (2, "two", 0.5)))
    assert all(map(is_distinctive, (100, 4.5, "RSV-1", "long words")))
    assert not any(map(is_distinctive, (42, "card", "Oslo", True)))
