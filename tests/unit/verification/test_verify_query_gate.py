"""The gate that a query passes."""

from __future__ import annotations

import pytest
from builders import executed

from funreason_agents.schemas.tasks import CallTrace
from funreason_agents.schemas.tools import Origin, ToolSpec
from funreason_agents.verification.derivations import Facts
from funreason_agents.verification.query_gate import find_query_problems


def _tool(name: str, *parameters: str) -> ToolSpec:
    schema = {"type": "object", "properties": {each: {"type": "string"} for each in parameters}}
    return ToolSpec(name=name, description="", parameters=schema)


TOOLS = (
    _tool("find", "city"), _tool("holdRoom", "room_code", "nights"), _tool("orders.cancel", "id"),
    _tool("list-all", "x"), _tool("get_user_profile_page", "id"),
)  # fmt: skip
TRACE = CallTrace(
    environment_id="e",
    seed=0,
    state_before="a",
    target="holdRoom",
    requests=(1,),
    calls=(
        executed("find", {"city": "Oslo"}, {"rooms": [{"code": "RM-77X"}, {"code": "RM-88Y"}]}),
        executed(
            "holdRoom",
            {"room_code": "RM-77X", "nights": 6},
            {"id": "HLD-5Z", "due": 420},
            origins={"/room_code": Origin(kind="output", call=0, path="/rooms/0/code")},
        ),
    ),
)
CLEAN = "Please hold the first room you find in Oslo for six nights."


def problems(query: str, facts: Facts | None = None) -> list[str]:
    return find_query_problems(query, TRACE, TOOLS, facts or Facts())


def test_a_query_that_says_all_and_no_more_is_clean() -> None:
    assert problems(CLEAN) == []


@pytest.mark.parametrize(
    "name",
    ["holdRoom", "room_code", "Room_Code", "orders.cancel", "list-all", "get user profile page"],
)
def test_no_identifier_may_be_named(name: str) -> None:
    assert problems(f"{CLEAN} Use {name}.") != []


@pytest.mark.parametrize("word", ["find", "city", "nights", "hold a room", "cancel", "list all"])
def test_ordinary_words_may_be_said(word: str) -> None:
    assert problems(f"{CLEAN} I mean {word}.") == []


def test_no_call_syntax() -> None:
    assert problems(f'{CLEAN} find(city="Oslo")') != []


@pytest.mark.parametrize("value", ["RM-77X", "RM-88Y", "HLD-5Z", "420", "$420"])
def test_nothing_may_be_said_that_only_a_result_reveals(value: str) -> None:
    assert problems(f"{CLEAN} It is {value}.") != []


def test_what_an_earlier_turn_showed_is_no_secret() -> None:
    assert problems(f"{CLEAN} As for HLD-5Z.", Facts().add_result({"id": "HLD-5Z"})) == []


def test_a_secret_number_is_not_known_by_arithmetic() -> None:
    assert problems(f"{CLEAN} It is 420.", Facts().add_result([400, 20, 7])) != []


@pytest.mark.parametrize("word", ["first", "Oslo", "six"])
def test_each_value_that_the_user_supplies_must_be_there(word: str) -> None:
    assert len(problems(CLEAN.replace(word, "..."))) == 1


def test_a_value_of_an_earlier_turn_or_a_sum_does_not_stand_in_for_a_missing_one() -> None:
    facts = Facts().add_text("The first was in Oslo for 6 nights.").add_result([2, 4])
    assert len(problems("Please hold a room.", facts)) == 3
    assert len(problems(CLEAN.replace("six", "two or four"))) == 1


BEFORE = Facts().add_arguments({"city": "Oslo", "nights": 6}).add_text("Done.")


def test_a_reference_supplies_a_value_where_it_leads_to_it() -> None:
    query = "Hold the first room you find in the same city as before for six nights."
    assert problems(query, BEFORE) == []
    assert len(problems(query)) == 1
    missing, astray = problems(query, BEFORE.add_arguments({"city": "Rome"}))
    assert missing == "the value for 'city' is missing"
    assert "refers to for 'city' is 'Rome'" in astray


def test_a_value_does_not_make_up_for_a_reference_to_another_one() -> None:
    facts = BEFORE.add_arguments({"city": "Rome"})
    assert problems(CLEAN, facts) == []
    assert len(problems(f"{CLEAN} In the same city as before.", facts)) == 1
    assert problems(f"{CLEAN} Not in the same city as before.", facts) == []
    two = TRACE.model_copy(update={"calls": (*TRACE.calls, executed("find", {"city": "Rome"}, []))})
    query = "Hold the first room in Oslo for six nights, and search the same city as before."
    assert find_query_problems(query, two, TOOLS, facts) == []


def test_a_reference_does_not_make_other_values_said() -> None:
    trace = _trace({"nights": 2, "room_code": "R-2"})
    listed = Facts().add_result([{"room_code": "R-1"}, {"room_code": "R-2"}])
    query = "Take the 2nd one you listed"
    assert len(find_query_problems(query, trace, TOOLS, listed)) == 1
    assert find_query_problems(f"{query} for 2 nights", trace, TOOLS, listed) == []


def test_an_item_still_to_come_is_not_one_listed_before() -> None:
    rooms = {"rooms": [{"city": "Rome"}, {"city": "Oslo"}]}
    facts = Facts().add_result(rooms)
    assert len(problems("Hold the first room for six nights, the second one.", facts)) == 1
    assert len(problems("Hold the second one for six nights.", facts)) == 2


def test_a_reference_may_lead_to_a_whole_list_but_not_to_another() -> None:
    trace = _trace({"x": ["red", "blue"]})
    query = "All with the same x as before."
    same = Facts().add_arguments({"x": ["red", "blue"]})
    assert find_query_problems(query, trace, TOOLS, same) == []
    other = Facts().add_arguments({"x": ["red"]})
    assert len(find_query_problems(query, trace, TOOLS, other)) == 3


@pytest.mark.parametrize("way", ["Oslo", "OSLO", "the same city as before"])
def test_an_omitted_value_may_not_be_said_in_any_way(way: str) -> None:
    query = "Hold the first room you find for six nights"
    assert omitting(f"{query}.", ["Oslo"], BEFORE) == []
    assert omitting(f"{query}, in {way}.", ["Oslo"], BEFORE) == [
        "it says 'Oslo', which it must leave out"
    ]


def test_only_the_omitted_value_may_be_left_out() -> None:
    assert len(omitting("Hold the first room you find.", ["Oslo"])) == 1
    assert omitting("Hold the first room you find.", ["Oslo", 6]) == []
    assert omitting("Hold the first room you find in Oslo.", [6]) == []
    assert len(omitting("Hold the first room you find in Oslo, 6 nights.", [6])) == 1
    assert len(omitting("Hold the first room.", [["Oslo", 6], "x"])) == 0


def test_what_completes_a_pending_request_need_not_say_it_again() -> None:
    asked = "Please hold the first room you find for six nights."
    assert completing("In Oslo.", asked) == []
    assert len(completing("In Bergen.", asked)) == 1
    assert problems("In Oslo.")[0] == "it says nothing but values: say what you want done"
    assert completing("In the same city as before.", asked, BEFORE) == []


def test_only_the_new_words_are_searched_for_identifiers_calls_and_secrets() -> None:
    asked = "Use holdRoom(nights=6) on RM-77X, the first."
    assert completing("In Oslo.", asked) == []
    assert len(completing("In Oslo, holdRoom(nights=6) on RM-77X.", asked)) == 3


def _trace(arguments: dict[str, object]) -> CallTrace:
    return TRACE.model_copy(update={"calls": (executed("holdRoom", arguments, {}),)})


def omitting(query: str, omitted: list[object], facts: Facts | None = None) -> list[str]:
    return find_query_problems(query, TRACE, TOOLS, facts or Facts(), omitted=omitted)


def completing(query: str, pending: str, facts: Facts | None = None) -> list[str]:
    return find_query_problems(query, TRACE, TOOLS, facts or Facts(), pending=pending)


@pytest.mark.parametrize(
    ("more", "extra"),
    [
        ("Also search the books written by Elif Demir.", "Elif Demir"),
        ("Also search for books of the Old Oslo Library, please.", "Old Oslo Library"),
        ('Please tag it "urgent".', "urgent"),
        ("Then add another for 14 nights.", "14"),
        ("The price must be below $75.50.", "75.50"),
    ],
)
def test_nothing_may_be_asked_for_beside_what_the_gold_calls_take(more: str, extra: str) -> None:
    assert problems(f"{CLEAN} {more}") == [f"it says {extra!r}, which is no input"]
    assert problems(f"{CLEAN} {more}", Facts().add_text(f"I like {extra}.")) == []


@pytest.mark.parametrize(
    "more",
    [
        "Hi there, good Monday Morning! I want to get this off my list today.",
        "Dear Sir, I'm a bit in a hurry, OK? Best Regards",
        "I need one room, just 1, for the two of us.",
        "I arrive on March 4, 2031 at 18:30 or 7 pm, on the 2nd day.",
        "I have been waiting 24/7 since twenty past nine. WHAT A Day!",
        "It must be in EUR, ASAP. Thanks, you are the best.",
        'The first room in "Oslo", for "6" nights, that is 6.0.',
        "Please Hold A Room.",
        "By the way, which room is it? Find it. Many Thanks",
    ],
)
def test_what_people_say_beside_a_request_may_be_said(more: str) -> None:
    assert problems(f"{CLEAN} {more}") == []


def test_a_pending_request_cannot_ask_for_more_either() -> None:
    asked = "Please hold the first room for six nights and ask Elif Demir for it."
    told = Facts().add_text(asked).add_text("In which city shall I ask Elif Demir?")
    found = find_query_problems("In Oslo.", TRACE, TOOLS, told, pending=asked)
    assert found == ["it says 'Elif Demir', which is no input"]
    earlier = Facts((*Facts().add_text("Elif Demir helps.").sources, *told.sources))
    assert find_query_problems("In Oslo.", TRACE, TOOLS, earlier, pending=asked) == []


def test_without_calls_only_what_is_allowed_may_be_said() -> None:
    idle = TRACE.model_copy(update={"calls": (), "requests": ()})
    query = "Please brew 2 cups of dark Sumatra and ask Elif Demir for the rest."
    assert find_query_problems(query, idle, TOOLS, Facts()) == []
    found = find_query_problems(query, idle, TOOLS, Facts(), allowed=["dark Sumatra", 2])
    assert found == ["it says 'Elif Demir', which is no input"]


def test_nouns_of_another_language_are_no_names() -> None:
    german = (
        "Bitte das erste Zimmer in Oslo: ich bin Herr Doktor Abt und will 6 N\u00e4chte, first."
    )
    assert problems(german) == []
