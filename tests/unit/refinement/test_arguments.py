"""Names, types and places of arguments: what is put right, and what is left as it may be meant."""

import json
from enum import Enum

import pytest
from pydantic import BaseModel

from funreason_agents.refinement.arguments import (
    coerce,
    find_schema_problem,
    repair_arguments,
    swap_back,
)
from funreason_agents.refinement.row_schemas import to_schema
from funreason_agents.schemas.tools import ToolSpec
from funreason_agents.verification.derivations import Facts, find_derivation
from funreason_agents.verification.likeness import coverage, find_asked

TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT}


def tool(properties, **more):
    parameters = {"type": "object", "properties": properties, **more}
    return ToolSpec(name="act", description="Does it.", parameters=parameters)


def texts(*names):
    return tool(dict.fromkeys(names, TEXT))


def said(*texts):
    facts = Facts()
    for text in texts:
        facts = facts.add_text(text)
    return facts


@pytest.mark.parametrize(
    ("shown", "arguments"),
    [
        ([{"origin": "LYS", "destination": "CDG"}], {"origin": "CDG", "destination": "LYS"}),
        ([{"origin": "LYS"}, {"destination": "CDG"}], {"origin": "CDG", "destination": "LYS"}),
        ([{"from_account": "A1", "to_account": "B2"}], {"from_account": "B2", "to_account": "A1"}),
        ([{"sender_id": "P-1", "receiver_id": "P-2"}], {"sender_id": "P-2", "receiver_id": "P-1"}),
        ([{"start_date": "2031-05-01", "end_date": "2031-05-04"}],
         {"start_date": "2031-05-04", "end_date": "2031-05-01"}),
        ([{"x": 4, "y": 9}], {"x": 9, "y": 4}),
        ([{"husband": "Ben", "wife": "Ada"}], {"husband": "Ada", "wife": "Ben"}),
        ([{"manager": "E-12", "deputy": "E-14"}], {"manager": "E-14", "deputy": "E-12"}),
    ],
)  # fmt: skip
def test_what_may_be_reversed_on_purpose_stays(shown, arguments):
    facts = said("Now the way back.")
    for each in shown:
        facts = facts.add_result(each)
    assert swap_back(arguments, facts) == arguments
    assert repair_arguments(arguments, tool({name: {} for name in arguments}), facts) == arguments


def test_an_earlier_call_also_says_that_two_values_stood_together():
    facts = Facts().add_result({"husband": "Ben"}).add_result({"wife": "Ada"})
    arguments = {"husband": "Ada", "wife": "Ben"}
    assert swap_back(arguments, facts) == {"husband": "Ben", "wife": "Ada"}
    earlier = facts.add_arguments({"husband": "Ben", "wife": "Ada"})
    assert swap_back(arguments, earlier) == arguments


@pytest.mark.parametrize(
    ("shown", "arguments"),
    [
        ([{"order_id": "O-551", "branch_code": "B-17"}],
         {"order_id": "B-17", "branch_code": "O-551"}),
        ([{"isbn": "978-44", "title": "Dune"}], {"isbn": "Dune", "title": "978-44"}),
        ([{"id": "PX-7", "name": "Ann"}], {"id": "Ann", "name": "PX-7"}),
        ([{"title": "Dune"}, {"author": "Herbert"}], {"title": "Herbert", "author": "Dune"}),
        ([{"new_title": "Dune"}, {"author": "Herbert"}],
         {"new_title": "Herbert", "author": "Dune"}),
    ],
)  # fmt: skip
def test_values_of_different_kinds_are_put_back(shown, arguments):
    facts = Facts()
    for each in shown:
        facts = facts.add_result(each)
    first, second = arguments
    wanted = {first: arguments[second], second: arguments[first]}
    assert swap_back(arguments, facts) == wanted
    assert swap_back(wanted, facts) == wanted


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("min_price", "max_price"),
        ("min_price", "main_price"),
        ("include_tax", "exclude_tax"),
        ("from_date", "form_date"),
        ("start_time", "end_time"),
        ("first_name", "last_name"),
        ("employer_id", "employee_id"),
        ("date", "rate"),
        ("address1", "address2"),
        ("line_1", "line"),
        ("price_min", "price"),
        ("grüße", "größe"),
    ],
)
def test_names_that_mean_something_else_are_not_replaced(wrong, right):
    assert repair_arguments({wrong: "a"}, texts(right), said("a")) is None
    assert repair_arguments({right: "a"}, texts(wrong), said("a")) is None


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("maxPrice", "max_price"),
        ("MAX-PRICE", "max_price"),
        ("max_pric", "max_price"),
        ("max_prices", "max_price"),
        ("copie", "copies"),
        ("category", "categories"),
        ("quantaty", "quantity"),
        ("qauntity", "quantity"),
        ("addresss", "address"),
        ("destinaton", "destination"),
    ],
)
def test_slips_in_names_are_mended(wrong, right):
    assert repair_arguments({wrong: "a"}, texts(right), said("a")) == {right: "a"}


def test_a_word_of_the_conversation_is_no_slip():
    wanted = texts("contact_id")
    assert repair_arguments({"contract_id": "a"}, wanted, said("a")) == {"contact_id": "a"}
    assert repair_arguments({"contract_id": "a"}, wanted, said("My contract is a.")) is None
    shown = said("a").add_result({"contractId": "a"})
    assert repair_arguments({"contract_id": "a"}, wanted, shown) is None


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        (said("My zip is 02134."), None),
        (said("My zip is 02134, there are 2134 people."), None),
        (said("There are 2,134 of them."), None),
        (said("My zip is 2134."), "2134"),
        (said("Mine.").add_result({"zip": 2134}), "2134"),
        (said("Mine.").add_result({"zip": "02134"}), None),
        (said("How many are there?"), "2134"),
    ],
)
def test_a_number_becomes_text_only_as_it_was_written(facts, wanted):
    repaired = repair_arguments({"zip": 2134}, texts("zip"), facts)
    assert repaired == (wanted and {"zip": wanted})


def test_without_the_conversation_a_number_stays_one():
    assert coerce(2134, TEXT) == 2134


@pytest.mark.parametrize(
    "value", ["red, blue", "red;blue", "red and blue", "red\nblue", "", "[red, blue", None]
)
def test_what_may_be_several_items_or_none_is_not_wrapped(value):
    assert coerce(value, TEXTS) == value
    assert repair_arguments({"colors": value}, tool({"colors": TEXTS}), said("red blue")) is None


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("red", ["red"]), ("light red", ["light red"]), ('["red", "blue"]', ["red", "blue"])],
)
def test_one_item_and_a_written_list_become_lists(value, wanted):
    assert coerce(value, TEXTS) == wanted


def test_a_number_with_a_comma_is_no_list():
    assert coerce("1,250", {"type": "array", "items": {"type": "integer"}}) == "1,250"


@pytest.mark.parametrize(
    ("value", "options", "wanted"),
    [
        ("hard-back", ["Hardback", "Paperback"], "Hardback"),
        ("in progress", ["IN_PROGRESS", "DONE"], "IN_PROGRESS"),
        ("C++", ["C", "Java"], "C++"),
        ("<", [">"], "<"),
        ("-1", [1, 2], "-1"),
        ("35", ["3.5", "4"], "35"),
        ("A", ["A-", "B+"], "A"),
    ],
)
def test_options_are_alike_only_but_for_case_and_separators(value, options, wanted):
    assert coerce(value, {"enum": options}) == wanted


class Cover(Enum):
    HARD = "Hardback"
    SOFT = "Paperback"


class Book(BaseModel):
    isbn: str
    copies: int
    cover: Cover


class Part(BaseModel):
    name: str
    size: int = 1
    parts: list["Part"] = []


class Order(BaseModel):
    book: Book
    cover: Cover | None = None
    part: Part | None = None


def ordering():
    return ToolSpec(name="act", description="", parameters=Order.model_json_schema())


def test_references_are_followed():
    book = {"isbn": "978-44", "copies": 3, "cover": "Hardback"}
    assert find_schema_problem({"book": book}, ordering()) is None
    assert find_schema_problem({"book": {**book, "copies": "3"}}, ordering()) == "wrong_type"
    assert find_schema_problem({"book": {**book, "cover": "Stone"}}, ordering()) == "wrong_value"
    faulty = {"book": {**book, "copies": "3", "cover": "hard-back"}}
    assert repair_arguments(faulty, ordering(), said("3")) == {"book": book}
    deep = {"book": book, "part": {"name": "a", "parts": [{"name": "b", "size": "2"}]}}
    assert find_schema_problem(deep, ordering()) is not None
    whole = to_schema(Order.model_json_schema())
    assert coerce(book, whole["properties"]["book"], whole) == book
    assert coerce(book, whole["properties"]["book"]) == book
    part = coerce({"name": "a", "size": "2"}, {"$ref": "#/$defs/Part"}, whole)
    assert part == {"name": "a", "size": 2}
    json.dumps(whole)


def test_references_that_lead_nowhere_or_round_allow_all():
    ring = {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
    for place in ("#/$defs/a", "#/$defs/none", "https://example.org/x.json", "#anchor", 3):
        given = tool({"x": {"$ref": place}, "n": {"type": "integer"}}, **ring)
        assert find_schema_problem({"x": "y"}, given) is None
        assert repair_arguments({"x": "y", "n": "3"}, given, said("y 3")) == {"x": "y", "n": 3}
        assert find_schema_problem({"z": "y"}, given) == "unknown_parameter"
    lost = tool({"x": {"$ref": "#/$defs/none"}, "n": {"type": "integer"}})
    assert find_schema_problem({"x": "y", "n": "3"}, lost) == "wrong_type"


@pytest.mark.parametrize(
    "odd",
    [
        {"enum": None},
        {"anyOf": None},
        {"anyOf": [None]},
        {"items": None},
        {"properties": None},
        {"type": None},
        {"type": ["str", "any"]},
        {"required": None},
        {"$ref": None},
        {"minimum": "1"},
        {"exclusiveMinimum": True},
        {"minLength": "long"},
        {"multipleOf": 0},
        {"pattern": "^["},
        {"enum": "a"},
        {"allOf": "a"},
        {"not": "a"},
    ],
)
@pytest.mark.parametrize("value", ["a", 3, ["a"], {"a": 1}, None])
def test_a_schema_that_cannot_be_used_for_a_value_allows_it(odd, value):
    given = tool({"x": odd})
    assert find_schema_problem({"x": value}, given) is None
    assert repair_arguments({"x": value}, given, said("a 3")) == {"x": value}
    assert coerce(value, odd) == value
    assert coverage("a b", given) >= 0


def test_what_else_such_a_schema_says_still_holds():
    given = tool({"n": {"type": "integer", "minimum": "1", "enum": None}, "s": TEXT})
    assert find_schema_problem({"n": "3"}, given) == "wrong_type"
    assert repair_arguments({"n": "3"}, given, said("3")) == {"n": 3}
    limited = tool({"n": {"type": "integer", "minimum": 1}})
    assert find_schema_problem({"n": 0}, limited) == "wrong_value"
    bare = ToolSpec(name="act", description="", parameters={"properties": None, "required": [None]})
    assert find_schema_problem({}, bare) is None
    assert find_schema_problem({"n": 1}, bare) == "unknown_parameter"
    named = tool({"n": "integer", "all": True})
    assert repair_arguments({"N": 1, "all": 2}, named, said("1 2")) == {"n": 1, "all": 2}
    either = tool({"n": {"type": ["int", "null"]}})
    assert find_schema_problem({"n": None}, either) is None
    assert find_schema_problem({"n": "a"}, either) == "wrong_type"


def test_parameters_that_a_table_filled_in_are_not_there():
    given = tool({"isbn": TEXT, "city": None})
    assert find_schema_problem({"isbn": "a", "city": None}, given) is None
    assert find_schema_problem({"isbn": "a", "city": "b"}, given) == "unknown_parameter"
    assert find_schema_problem({"isbn": "a", "town": None}, given) == "unknown_parameter"
    assert repair_arguments({"ISBN": "a", "city": None}, given, said("a")) == {"isbn": "a"}


def test_null_in_a_schema_gives_no_option():
    nulls = {"anyOf": None, "items": None, "enum": None, "examples": None}
    assert find_derivation("a", Facts(), nulls) is None
    assert find_derivation("a", Facts(), {**nulls, "default": "a"}) == "schema"
    assert find_derivation("a", Facts(), {"anyOf": [None, {"enum": ["a"]}]}) == "schema"


def test_parameters_without_a_schema_have_a_name_to_speak_of():
    given = tool({"isbn": TEXT, "city": None, "shop": {"description": None, "examples": None}})
    bare = ToolSpec(name="act", description="", parameters={"properties": None})
    assert coverage("city", bare) == 0
    assert coverage("city shop", given) == 1
    assert coverage("none", given) == 0
    assert list(find_asked("Book it.", [given], given)) == []
