"""A record judged anew: its certificate, its shape, and what cannot be judged at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from builders import Item, with_turn, with_turns

from funreason_agents.errors import VerificationError
from funreason_agents.schemas.base import iterate_leaves
from funreason_agents.schemas.record import CertifiedTurn, TrainingRecord
from funreason_agents.schemas.trajectory import Message
from funreason_agents.verification.query_gate import find_origin
from funreason_agents.verification.replay import verify_record


def tampered(record: TrainingRecord, **certificate: Any) -> TrainingRecord:
    changed = record.certificate.model_copy(update=certificate)
    return record.model_copy(update={"certificate": changed})


def with_certified(record: TrainingRecord, number: int, **changes: Any) -> TrainingRecord:
    turns = list(record.certificate.turns)
    turns[number] = turns[number].model_copy(update=changes)
    return tampered(record, turns=tuple(turns))


def certified(corpus: list[Item]) -> Iterator[tuple[Item, int, CertifiedTurn]]:
    for item in corpus[::3]:
        for number, turn in enumerate(item.record.certificate.turns):
            yield item, number, turn


def test_a_false_seed_or_first_state_is_noticed(corpus: list[Item]) -> None:
    for item in corpus[::4]:
        seed = item.record.certificate.environment_seed + 1
        assert item.fails(tampered(item.record, environment_seed=seed)) >= {"initial_state"}
        assert item.fails(tampered(item.record, initial_state_hash="0")) == {"initial_state"}


@pytest.mark.parametrize("field", ["result_hash", "state_hash"])
def test_a_false_hash_is_noticed(corpus: list[Item], field: str) -> None:
    for item, number, turn in certified(corpus):
        calls = (*turn.calls[:-1], turn.calls[-1].model_copy(update={field: "0"}))
        assert item.fails(with_certified(item.record, number, calls=calls)) == {"replays"}


def test_false_gold_arguments_are_noticed(corpus: list[Item]) -> None:
    count = 0
    for item, number, turn in certified(corpus):
        for place, call in enumerate(turn.gold):
            for pointer, leaf in iterate_leaves(call.arguments):
                origin = find_origin(call, pointer)
                if (origin and origin.kind == "output") or not isinstance(leaf, str):
                    continue  # outputs are filled in anew, whatever the certificate says
                false = {**call.arguments, pointer.split("/")[1]: "another"}
                gold = list(turn.gold)
                gold[place] = call.model_copy(update={"arguments": false})
                record = with_certified(item.record, number, gold=tuple(gold))
                assert "calls_match" in item.fails(record)
                count += 1
    assert count > 5


def test_no_gold_call_that_writes_or_provides_may_be_missing(corpus: list[Item]) -> None:
    for item, number, turn in certified(corpus):
        assert item.fails(with_certified(item.record, number, gold=())) >= {"calls_match", "target"}
        provided = {o.call for call in turn.gold for o in call.origins.values()} - {None}
        if 0 in provided:
            record = with_certified(item.record, number, gold=turn.gold[1:])
            assert "calls_match" in item.fails(record)


def test_a_false_target_or_a_failed_check_is_noticed(corpus: list[Item]) -> None:
    record = corpus[0].record
    assert corpus[0].fails(with_certified(record, 0, target="nothing")) == {"target"}
    assert corpus[0].fails(record.model_copy(update={"checks": record.checks[1:]})) == {"checks"}
    failed = (record.checks[0][0].model_copy(update={"passed": False}), *record.checks[0][1:])
    changed = record.model_copy(update={"checks": (failed, *record.checks[1:])})
    assert corpus[0].fails(changed) == {"checks"}


def test_changed_messages_need_a_new_id(corpus: list[Item]) -> None:
    assert corpus[0].fails(corpus[0].record.model_copy(update={"id": "0"})) == {"record_id"}


def test_every_turn_has_its_certificate(corpus: list[Item]) -> None:
    item = corpus[0]
    assert "turns" in item.fails(with_turns(item.record, item.turns[1:]))


SHAPES: dict[str, Callable[[list[Message]], list[Message]]] = {
    "a result before its call": lambda m: [m[0], m[2], m[1], *m[3:]],
    "no reply": lambda m: m[:-1],
    "two replies": lambda m: [*m, m[-1]],
    "a query to learn": lambda m: [m[0].model_copy(update={"trainable": True}), *m[1:]],
    "a result to learn": lambda m: [*m[:2], m[2].model_copy(update={"trainable": True}), *m[3:]],
    "a result of another tool": lambda m: [*m[:2], m[2].model_copy(update={"name": "x"}), *m[3:]],
    "a system message": lambda m: [m[0], Message(role="system", content="x"), *m[1:]],
    "a query with calls": lambda m: [
        m[0].model_copy(update={"tool_calls": m[1].tool_calls}), *m[2:]
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_a_turn_is_query_then_calls_with_their_results_then_reply(
    corpus: list[Item], name: str
) -> None:
    for item in corpus[::4]:
        record = with_turn(item, 1, SHAPES[name](item.turns[1]))
        assert "messages" in item.fails(record)


def test_a_record_of_other_tools_cannot_be_verified(corpus: list[Item]) -> None:
    first, last = corpus[0], corpus[-1]
    with pytest.raises(VerificationError):
        verify_record(first.record, last.environment)
    with pytest.raises(VerificationError):
        verify_record(tampered(first.record, tools_hash="0"), first.environment)


def test_outcome_mode_verifies_too(corpus: list[Item]) -> None:
    for item in corpus[::4]:
        assert item.fails(with_certified(item.record, 0, mode="outcome")) == set()
