"""Frozen models, canonical JSON, pointers, and words of identifiers."""

import pytest
from pydantic import ValidationError

from funreason_agents.schemas.base import (
    canonical_json,
    content_hash,
    find_choices,
    iterate_leaves,
    iterate_values,
    pointer_field,
    resolve_pointer,
)
from funreason_agents.schemas.tools import ToolCall, ToolEdge, ToolGraph, ToolSpec
from funreason_agents.schemas.words import (
    content_words,
    humanize,
    match_field,
    overlap,
    split_identifier,
    stem,
)

TREE = {"a/b": [{"c~d": 1}, {"c~d": 2}], "e": {"f": None}, "g": ["x", "y"]}


def make_spec(**more):
    parameters = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
        "required": ["a"],
    }
    return ToolSpec(name="act", description="Act.", parameters=parameters, **more)


def test_an_unknown_field_is_refused():
    with pytest.raises(ValidationError):
        ToolCall.model_validate({"id": "1", "name": "act", "colour": "red"})


def test_a_model_cannot_be_changed():
    call = ToolCall(id="1", name="act")
    with pytest.raises(ValidationError):
        call.name = "other"


def test_json_form_and_back_is_the_same():
    spec = make_spec(requires=("log_in",), output_schema={"type": "object"})
    assert ToolSpec.model_validate(spec.to_json()) == spec


def test_a_spec_is_told_to_models_as_a_function():
    function = make_spec().to_function()
    assert function["type"] == "function"
    assert set(function["function"]) == {"name", "description", "parameters"}


def test_required_and_all_parameters():
    spec = make_spec()
    assert (spec.required, list(spec.properties)) == (("a",), ["a", "b"])
    bare = ToolSpec(name="x", description="", parameters={"type": "object"})
    assert (bare.required, bare.properties) == ((), {})


def test_groups_hold_alternatives_and_leave_optional_ones_out():
    def edge(source, group, *, necessary=True):
        return ToolEdge(
            source=source, target="t", kind="requires", evidence=("probed",), group=group,
            necessary=necessary,
        )  # fmt: skip

    edges = (edge("a", "x"), edge("b", "x"), edge("c", "y", necessary=False))
    graph = ToolGraph(environment_id="e", tools=("a", "b", "c", "t"), edges=edges)
    assert {g: [e.source for e in es] for g, es in graph.groups("t").items()} == {"x": ["a", "b"]}
    assert set(graph.groups("t", optional=True)) == {"x", "y"}
    assert graph.groups("a") == {}


def test_reachable_tools_keep_their_order():
    graph = ToolGraph(environment_id="e", tools=("c", "a", "b"), edges=(), unreachable={"a": "no"})
    assert graph.reachable == ("c", "b")


def test_equal_values_have_equal_json_and_hash():
    left, right = {"b": [1, "ä"], "a": None}, {"a": None, "b": [1, "ä"]}
    assert canonical_json(left) == canonical_json(right) == '{"a":null,"b":[1,"ä"]}'
    assert content_hash(left) == content_hash(right)
    assert content_hash(left) != content_hash({"a": None, "b": ["ä", 1]})
    assert len(content_hash(left, 8)) == 8


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_hold_is_refused(value):
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"x": value})


def test_every_leaf_is_found_where_its_pointer_says():
    leaves = dict(iterate_leaves(TREE))
    assert leaves == {"/a~1b/0/c~0d": 1, "/a~1b/1/c~0d": 2, "/e/f": None, "/g/0": "x", "/g/1": "y"}
    assert all(resolve_pointer(TREE, pointer) == leaf for pointer, leaf in leaves.items())


def test_the_empty_pointer_is_the_whole():
    assert resolve_pointer(TREE, "") is TREE


@pytest.mark.parametrize("pointer", ["/nope", "/g/5", "/g/x", "/e/f/z", "/a~1b/0/c~0d/deeper"])
def test_a_pointer_to_nothing_is_a_lookup_error(pointer):
    with pytest.raises(LookupError):
        resolve_pointer(TREE, pointer)


@pytest.mark.parametrize(
    ("pointer", "field"),
    [("/a~1b/0/c~0d", "c~d"), ("/g/1", "g"), ("", ""), ("/0/1", ""), ("/a/0/b/2", "b")],
)
def test_the_field_of_a_pointer_skips_positions(pointer, field):
    assert pointer_field(pointer) == field


def test_lists_of_scalars_and_keys_of_tables_are_values_too():
    content = {"stocks": {"AAPL": {"price": 3}, "MSFT": {"price": 4}}, "tags": ["a", "b"]}
    found = {
        (field, container, str(value)) for _, field, container, value in iterate_values(content)
    }
    assert ("stocks", "", "AAPL") in found
    assert ("price", "AAPL", "3") in found
    assert ("tags", "", "['a', 'b']") in found
    assert ("tags", "", "a") in found


def test_nothing_is_no_value():
    assert list(iterate_values({"a": None, "b": []})) == []


def test_choices_are_the_positions_in_lists_of_several():
    content = {"rows": [{"cells": [1]}, {"cells": [2, 3, 4]}]}
    assert find_choices(content, "/rows/1/cells/2") == [(1, 2), (2, 3)]
    assert find_choices(content, "/rows/0/cells/0") == [(0, 2)]
    assert find_choices({"a": 1}, "/a") == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("order_id", ("order", "id")),
        ("getZipCode", ("get", "zip", "code")),
        ("HTTPServer", ("http", "server")),
        ("kebab-case", ("kebab", "case")),
        ("file1", ("file", "1")),
    ],
)
def test_identifiers_are_split_into_words(name, words):
    assert split_identifier(name) == words
    assert humanize(name) == " ".join(words)


@pytest.mark.parametrize(
    ("word", "base"),
    [("orders", "order"), ("cities", "city"), ("address", "address"), ("classes", "class")],
)
def test_plurals_have_the_stem_of_their_singular(word, base):
    assert stem(word) == base


def test_content_words_leave_small_words_out():
    assert content_words("The id of an order_item") == {"id", "order", "item"}


def test_overlap_is_between_nothing_and_all():
    assert overlap("ab", "cd") == 0
    assert overlap("ab", "ba") == 1
    assert overlap("", "") == 0


def test_the_same_name_matches_best_and_another_hardly():
    same = match_field("order_id", "", "orderId")
    hinted = match_field("receipt", "Number on the receipt of the order", "order")
    other = match_field("city", "Name of a city", "price")
    assert same == 1.0
    assert other < 0.3 < hinted < same


def test_the_container_around_a_field_counts():
    assert match_field("order_id", "", "id", "orders") > match_field("order_id", "", "id", "users")
