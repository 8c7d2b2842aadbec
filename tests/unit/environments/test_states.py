"""Dumped states: shared by sessions, hashed once, never changed through a copy."""

import pytest
from pydantic import BaseModel

from funreason_agents.environments.states import (
    LONGEST,
    DumpedState,
    copy_state,
    dump,
    hash_state,
    to_plain_json,
)
from funreason_agents.schemas.base import content_hash


class Money(BaseModel):
    amount: int


STATE = {"shelf": [{"title": "Salt", "price": 9.5}], "pair": (1, 2), "paid": Money(amount=3)}


def test_a_dumped_state_and_its_hash_are_those_of_plain_json():
    plain = to_plain_json(STATE)
    assert dump(STATE) == plain == {"shelf": STATE["shelf"], "pair": [1, 2], "paid": {"amount": 3}}
    assert hash_state(dump(STATE)) == hash_state(plain) == content_hash(plain)


@pytest.mark.parametrize("other", [{"a": 1.0}, {"a": True}, {"a": "1"}])
def test_states_that_only_python_takes_for_equal_have_hashes_of_their_own(other):
    assert hash_state(dump({"a": 1})) != hash_state(dump(other))


def test_equal_states_are_one_object_however_often_they_are_dumped():
    assert dump({"a": [1]}) is dump({"a": [1]})


def test_a_copy_may_be_changed_without_changing_the_state():
    state = dump({"a": [1]})
    copy_state(state)["a"].append(2)
    assert state == {"a": [1]} == copy_state(dump({"a": [1]}))


def test_changing_a_world_does_not_reach_the_state_that_was_dumped_of_it():
    world = {"a": [1]}
    before = dump(world)
    world["a"].append(2)
    assert (before, dump(world)) == ({"a": [1]}, {"a": [1, 2]})


def test_a_long_state_is_not_kept_but_is_still_hashed_once():
    state = dump({"a": "x" * LONGEST})
    assert isinstance(state, DumpedState)
    assert state is not dump({"a": "x" * LONGEST})
    assert hash_state(state) == content_hash({"a": "x" * LONGEST})


@pytest.mark.parametrize("state", [None, [1, {"a": 2}], "text", 3])
def test_a_state_that_is_no_object_is_plain_json(state):
    assert dump(state) == state == copy_state(dump(state))
    assert hash_state(dump(state)) == content_hash(state)


@pytest.mark.parametrize("state", [{"a": {1}}, {"a": float("nan")}])
def test_a_state_that_is_no_json_is_refused(state):
    with pytest.raises((TypeError, ValueError)):
        dump(state)
