"""How values are compared and found in text."""

from __future__ import annotations

from typing import Any

import pytest

from funreason_agents.verification.values import (
    dates_in,
    holds_number,
    is_distinctive,
    is_trivial,
    numbers_in,
    same_value,
    text_holds,
)


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, 1.0), (0.1 + 0.2, 0.3), (3, 2.9999999999999996), (3.333333333, 10 / 3), (1e-13, 0),
     (10**23, 1e23), (12345678901234567, 12345678901234568.0), ("Leeds ", "leeds"),
     ("a  b", "A b"), ([1, "x"], [1.0, "X"]), ({"a": 1}, {"a": 1.0}), ("RSV\u20111", "rsv-1"),
     ("cafe\u0301", "caf\u00e9")],
)  # fmt: skip
def test_the_same_value_may_be_written_in_several_ways(left: Any, right: Any) -> None:
    assert same_value(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, True), (0, False), (0, None), ("1", 1), ([1, 2], [2, 1]), ({"a": 1}, {"a": 1, "b": 2}),
     (45.5, 45.51), ("", None), (4155550102, 4155550101), (1760000000, 1760000001.0),
     (10000000001.0, 10000000002.0), (12345678901234567, 12345678901234568), (10**400, 0.5),
     (10**400, 1e300), (10000000001, 10000000001.5), (12345678.91, 12345678.92),
     (float("nan"), float("nan"))],
)  # fmt: skip
def test_different_values_are_not_the_same(left: Any, right: Any) -> None:
    assert not same_value(left, right)


def test_a_whole_number_is_held_only_if_it_stands_there() -> None:
    ids = (0.1 + 0.2, 45.5, 4155550101, 4155550103, 1e300)
    assert all(holds_number(ids, value) for value in (0.3, 45.5, 4155550101, 4155550103.0))
    assert not any(holds_number(ids, value) for value in (4155550102, 45, 45.51, 0, 10**400))
    assert not holds_number((), 1)
    assert text_holds("call 4155550101", 4155550101)
    assert not text_holds("call 4155550101", 4155550102)


@pytest.mark.parametrize(
    ("text", "number"),
    [("1,250.5 kg", 1250.5), ("\u20ac45,50", 45.5), ("1.250,50", 1250.5), ("12%", 12),
     ("\u22125 degrees", -5), ("1\u202f250", 1250), ("twenty-five", 25), ("45kg", 45),
     ("sizes 1,2 and 3", 2), ("$45.50.", 45.5), ("\u8ba22\u5f20\u7968", 2),
     ("\u51714,5\u5143", 4.5), ("\u90e8\u5c4b3\u3064", 3)],
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
     "3/4/2031", "04.03.2031", "2031-03-04T10:00", "\u57282031-03-04\u51fa\u53d1",
     "\u57283/4/2031\u51fa\u53d1"],
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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("查一下上海的天气", "上海"),
        ("預訂iPhone的價格", "iphone"),
        ("VIP上海", "上海"),
        ("東京の天気を教えて", "東京"),
        ("カメラを買う", "カメラ"),
        ("ขอดูอากาศกรุงเทพวันนี้", "กรุงเทพ"),
        ("서울의 날씨를 알려줘", "서울"),
        ("iPhone을 주문해", "iphone"),
        ("把RSV-4F7K2取消", "RSV-4F7K2"),
    ],
)
def test_words_need_no_borders_beside_scripts_without_spaces(text: str, value: str) -> None:
    assert text_holds(text, value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("查一下上海的天气", "北京"),
        ("查一下Foslo的天气", "oslo"),
        ("查一下osloer的天气", "oslo"),
        ("남서울의 날씨", "서울"),
        ("Москвабад", "москва"),
        ("дельфины", "фин"),
        ("السلام", "سلام"),
    ],
)
def test_words_of_other_scripts_keep_their_borders(text: str, value: str) -> None:
    assert not text_holds(text, value)


def test_trivial_and_distinctive_values() -> None:
    assert all(map(is_trivial, (0, 1, True, None, "", "1")))
    assert not any(map(is_trivial, (2, "two", 0.5)))
    assert all(map(is_distinctive, (100, 4.5, "RSV-1", "long words")))
    assert not any(map(is_distinctive, (42, "card", "Oslo", True)))
