"""What a user may refer to instead of saying it, and what that leads to."""

from __future__ import annotations

from typing import Any

import pytest

from funreason_agents.schemas.tools import ToolCall
from funreason_agents.schemas.trajectory import Message
from funreason_agents.verification.derivations import Facts, facts_of
from funreason_agents.verification.references import (
    find_meant,
    find_referable,
    find_references,
    plan_reference,
    remove_spans,
    resolves,
)

OSLO = Facts().add_text("Hotels in Oslo, please.").add_arguments({"city": "Oslo", "nights": 3})
TWO_CITIES = OSLO.add_arguments({"city": "Rome"})
BOOKS = {
    "books": [
        {"book_id": "B-1", "title": "Dune", "stock": 5, "genre": "novel"},
        {"book_id": "B-2", "title": "Emma", "stock": 7, "genre": "novel"},
        {"book_id": "B-3", "title": "Ulysses", "stock": 9, "genre": "novel"},
    ]
}
LISTED = Facts().add_text("Which books?").add_result(BOOKS).add_text("Dune, Emma and Ulysses.")


def test_a_value_given_before_is_the_same_as_before() -> None:
    assert plan_reference("city", "Oslo", OSLO) == "the same city as before"


def test_after_several_values_the_phrase_says_that_the_last_one_is_meant() -> None:
    assert plan_reference("city", "Rome", TWO_CITIES) == "the same city as last time"
    assert plan_reference("city", "Oslo", TWO_CITIES) is None


def test_an_item_of_the_latest_list_is_told_by_its_place() -> None:
    assert plan_reference("book_id", "B-2", LISTED) == "the second one you listed"
    assert plan_reference("title", "Ulysses", LISTED) == "the third one you listed"


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("city", "Bergen"),
        ("town", "Oslo"),
        ("nights", "3"),
        ("nights", 4),
        ("city", None),
        ("x", 1),
    ],
)
def test_nothing_is_planned_for_what_was_not_given(parameter: str, value: Any) -> None:
    assert plan_reference(parameter, value, OSLO) is None


@pytest.mark.parametrize("before", [Facts(), Facts().add_text("Oslo, Oslo, Oslo!")])
def test_without_an_earlier_call_there_is_nothing_to_refer_to(before: Facts) -> None:
    assert plan_reference("city", "Oslo", before) is None
    assert not resolves("In the same city as before.", "city", "Oslo", before)


@pytest.mark.parametrize(
    "query",
    [
        "Find a hotel in the same city as before.",
        "same city again, please",
        "Find one in that same city.",
        "Use the same City as last time",
        "the same city we used",
        "A hotel in that city from before.",
        "Something in the previous city, two nights.",
        "(city: same as before; nights: 4)",
        "city: the same as last time",
        "For the same city as I\u2019ve asked already.",
        "city as before, 5 nights",
        "And the weather in the same city, please",
    ],
)
def test_many_words_say_the_same_as_before(query: str) -> None:
    assert resolves(query, "city", "Rome", TWO_CITIES)
    assert not resolves(query, "city", "Oslo", TWO_CITIES)


@pytest.mark.parametrize(
    "query",
    [
        "In the same city as my sister.",
        "The same city code as before.",
        "The same city council as before.",
        "Not in the same city as before.",
        "Anywhere but the same city as before.",
        "A different city than before.",
        "Two hotels in the same city for both of us.",
        "The same city as I used in the first booking.",
        'Put "the same city as before" in the note.',
        "Put \u201cthe same city as before\u201d in the note.",
        'Note: "say \\"hi\\" in the same city as before".',
        "The city is nice. Before that, book.",
        "the same capacity as before",
        "",
    ],
)
def test_what_only_looks_like_it_refers_to_nothing(query: str) -> None:
    assert not resolves(query, "city", "Rome", TWO_CITIES)


def test_at_the_same_time_is_no_reference() -> None:
    before = Facts().add_arguments({"time": "10:00"})
    assert not resolves("At the same time, cancel it.", "time", "10:00", before)
    assert resolves("At the same time as before.", "time", "10:00", before)


@pytest.mark.parametrize(
    "query",
    [
        "Reserve the second one you listed.",
        "the 2nd one from your list, please",
        "the second book you showed me",
        "The second title you\u2019ve just mentioned",
        "Take the second one.",
        "the second of the three you found",
        "book id: the second one listed above",
        "the second result from your previous search",
    ],
)
def test_many_words_pick_an_item(query: str) -> None:
    assert resolves(query, "book_id", "B-2", LISTED)
    assert not resolves(query, "book_id", "B-1", LISTED)


@pytest.mark.parametrize("query", ["the last one", "The last book you listed, please."])
def test_the_last_one_is_the_last_of_the_list(query: str) -> None:
    assert resolves(query, "book_id", "B-3", LISTED)


@pytest.mark.parametrize(
    "query",
    [
        "Reserve the second one you find.",
        "Reserve the second one you list.",
        "Reserve the second one in stock.",
        "the second chapter you mentioned",
        "the second edition",
        "the ninth one you listed",
        "not the second one you listed",
        "Send the second one you listed and the third one you listed.",
        "'the second one you listed'",
        "last week you showed me around",
    ],
)
def test_what_picks_no_one_item_refers_to_nothing(query: str) -> None:
    assert not resolves(query, "book_id", "B-2", LISTED)


def test_a_label_tells_two_references_apart() -> None:
    query = "Compare left title: the first one you listed, right title: the second one you listed."
    before = Facts().add_result(
        [{"left_title": "a1", "right_title": "b1"}, {"left_title": "a2", "right_title": "b2"}]
    )
    assert resolves(query, "left_title", "a1", before)
    assert resolves(query, "right_title", "b2", before)
    assert not resolves(query, "right_title", "b1", before)


def test_a_number_is_meant_only_if_it_names_the_thing() -> None:
    assert plan_reference("stock", 7, LISTED) is None
    assert not resolves("Order the second one you listed.", "stock", 7, LISTED)
    numbered = Facts().add_result([{"order_number": 11}, {"order_number": 12}]).add_text("12!")
    assert plan_reference("order_number", 12, numbered) == "the second one you listed"


def test_an_item_stands_for_what_it_goes_by_not_for_its_other_properties() -> None:
    rows = [{"paint_code": "P1", "colour": "red"}, {"paint_code": "P2", "colour": "blue"}]
    before = Facts().add_result({"paints": rows}).add_text("A red and a blue one.")
    assert plan_reference("paint_code", "P2", before) == "the second one you listed"
    assert plan_reference("colour", "blue", before) is None
    colours = (
        Facts()
        .add_result({"colours": [{"n": 4, "colour": "red"}, {"n": 5, "colour": "blue"}]})
        .add_text("Red, blue.")
    )
    assert plan_reference("colour", "blue", colours) == "the second one you listed"
    towns = (
        Facts()
        .add_result([{"town": "Oslo", "sun": 3}, {"town": "Rome", "sun": 9}])
        .add_text("Oslo, Rome")
    )
    assert plan_reference("town", "Rome", towns) == "the second one you listed"


def test_nobody_points_at_an_item_that_no_one_spoke_of() -> None:
    silent = Facts().add_result(BOOKS).add_text("There are three.")
    assert plan_reference("book_id", "B-2", silent) is None
    assert plan_reference("book_id", "B-2", silent.add_text("One is Emma.")) is not None
    assert resolves("the second one in your list", "book_id", "B-2", silent)


def test_what_items_have_in_common_picks_none_of_them() -> None:
    assert plan_reference("genre", "novel", LISTED) is None


def test_only_the_latest_list_counts() -> None:
    later = LISTED.add_result({"tags": ["old", "rare"]})
    assert not resolves("the second one you listed", "book_id", "B-2", later)
    assert resolves("the second one you listed", "tag", "rare", later)
    assert resolves("the second one", "book_id", "B-2", LISTED.add_result({"book_id": "B-9"}))


def test_two_lists_side_by_side_leave_it_open_unless_the_words_say_which() -> None:
    both = Facts().add_result(
        {"rooms": [{"code": "R1"}, {"code": "R2"}], "cars": [{"code": "C1"}, {"code": "C2"}]}
    )
    assert not resolves("the second one you listed", "code", "R2", both)
    assert resolves("the second room you listed", "code", "R2", both)
    assert not resolves("the second room you listed", "code", "C2", both)


def test_one_item_is_no_choice_and_lists_within_items_are_none() -> None:
    nested = {"books": [{"book_id": "B-1", "tags": [{"code": "t1"}, {"code": "t2"}]}]}
    before = Facts().add_result(nested)
    assert not resolves("the second one you listed", "book_id", "B-1", before)
    assert resolves("the second one you listed", "code", "t2", before)
    wide = Facts().add_result([{"id": "a", "tags": ["x", "y"]}, {"id": "b", "tags": ["z", "w"]}])
    assert not resolves("the second one you listed", "tags", "y", wide)


def test_shorter_words_must_not_fit_two_labels() -> None:
    trip = Facts().add_arguments({"departure_city": "Oslo", "arrival_city": "Rome"})
    assert not resolves("from the same city as before", "departure_city", "Oslo", trip)
    assert resolves("the same departure city as before", "departure_city", "Oslo", trip)
    room = Facts().add_arguments({"room_code": "R-1", "nights": 2})
    assert resolves("the same room as before", "room_code", "R-1", room)


def test_two_parameters_of_one_call_under_one_label_leave_it_open() -> None:
    before = Facts().add_arguments({"book_id": "B-1", "bookId": "B-2"})
    assert plan_reference("book_id", "B-2", before) is None


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("pattern", "a.*(b|c)+["),
        ("query", "\\d{3}"),
        ("city", "\u00c5lesund \u2013 Zentrum"),
        ("city", "\u6771\u4eac"),
        ("message", 'She said "the same message as before".'),
        ("tags", ["a", "b"]),
        ("price", 12.5),
        ("url", "https://x.example/?q=the+second+one+you+listed"),
        ("\u00e9tat", "neuf"),
        ("a(b", "odd"),
    ],
)
def test_any_value_and_label_can_be_referred_to(label: str, value: Any) -> None:
    before = Facts().add_arguments({label: value})
    phrase = plan_reference(label, value, before)
    assert phrase is not None and str(value) not in phrase
    assert resolves(f"Do it with {phrase}.", label, value, before)
    assert not resolves(f"Do it with {phrase}.", label, "other", before)


def test_a_number_and_a_text_are_two_values() -> None:
    before = Facts().add_arguments({"zip": "10115"})
    assert not resolves("the same zip as before", "zip", 10115, before)


def test_references_are_found_from_the_messages_of_a_record_alone() -> None:
    call = ToolCall(id="c0", name="find", arguments={"city": "Oslo"})
    messages = (
        Message(role="user", content="Rooms in Oslo?"),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content='[{"code": "R1"}, {"code": "R2"}]', tool_call_id="c0"),
        Message(role="assistant", content="There are R1 and R2."),
    )
    facts = facts_of(messages)
    assert plan_reference("city", "Oslo", facts) == "the same city as before"
    assert plan_reference("code", "R2", facts) == "the second one you listed"


def test_values_to_reuse_are_those_that_can_be_referred_to() -> None:
    facts = LISTED.add_arguments({"title": "Beloved"})
    assert find_referable("title", facts) == ["Beloved", "Dune", "Emma", "Ulysses"]
    assert find_referable("title", facts, listed=True) == ["Dune", "Emma", "Ulysses"]
    assert find_referable("stock", facts) == []


def test_what_is_meant_is_told_apart_from_what_is_wanted() -> None:
    query = "The same city as before, and the second one you listed."
    assert find_meant(query, "city", TWO_CITIES) == ["Rome"]
    assert find_meant(query, "book_id", LISTED) == []  # it may be meant for something else
    assert find_meant("book id: the second one you listed", "book_id", LISTED) == ["B-2"]
    assert find_meant(query, "city", Facts()) == []


def test_a_reference_can_be_taken_out_of_the_words() -> None:
    query = "Two of the second one you listed\u2014now."
    spans = find_references(query, "book_id", "B-2", LISTED)
    assert remove_spans(query, spans) == "Two of  -now."
