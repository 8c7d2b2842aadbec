"""Anchor: a record whose hard turn is not what it claims is rejected, by the check for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
from builders import TOOLS, Item, with_turns

from funreason_agents import load_environment, synthesize
from funreason_agents.config import SynthesisContext
from funreason_agents.errors import ExportError
from funreason_agents.export.writer import read_records
from funreason_agents.schemas.base import iterate_leaves, parse_result
from funreason_agents.schemas.record import TrainingRecord
from funreason_agents.schemas.tasks import HardTurn, HardTurnKind
from funreason_agents.schemas.trajectory import Message
from funreason_agents.verification.turn_kinds import find_parallel_group
from funreason_agents.verification.values import is_distinctive

KINDS: tuple[HardTurnKind, ...] = get_args(HardTurnKind)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Item]]:
    """Return records with one hard turn each, by kind."""
    environment = load_environment(str(TOOLS / "bookstore.py:Bookstore"), isolated=False)
    return {
        kind: [
            Item(record, environment)
            for record in synthesize(
                environment=environment,
                num_trajectories=6,
                out=tmp_path_factory.mktemp(kind),
                seed=3,
                context=SynthesisContext(
                    turns=1, turn_attempts=6, hard_turns={kind: 1.0}, filler_chars=800
                ),
            ).records()
            if any(turn.hard for turn in record.certificate.turns)  # the last retry is plain
        ]
        for kind in KINDS
    }


@pytest.mark.parametrize("kind", KINDS)
def test_an_accepted_record_says_its_kind_and_verifies(
    corpus: dict[str, list[Item]], kind: HardTurnKind
) -> None:
    assert len(corpus[kind]) >= 2
    for item in corpus[kind]:
        assert {turn.hard.kind for turn in item.record.certificate.turns if turn.hard} == {kind}
        assert item.fails(item.record) == set()


def rebuild(item: Item, turns: Sequence[Sequence[Message]], **changes: Any) -> TrainingRecord:
    """Return the record with other messages, and `changes` in all that makes its turns hard."""
    certified = tuple(
        turn.model_copy(update={"hard": change_hard(turn.hard, **changes)})
        for turn in item.record.certificate.turns
    )
    return with_turns(item.record, turns, turns=certified)


def change_hard(hard: HardTurn | None, **changes: Any) -> HardTurn:
    assert hard is not None
    return hard.model_copy(update=changes)


def hard_of(item: Item) -> HardTurn:
    return change_hard(item.record.certificate.turns[0].hard)


def withhold_another(item: Item) -> TrainingRecord:
    """The function that was missing was offered all along: another one is withheld."""
    others = [tool.name for tool in item.environment.tools if tool.name != hard_of(item).function]
    called = {call.name for turn in item.record.certificate.turns for call in turn.gold}
    other = next(name for name in others if name not in called)
    return rebuild(item, item.turns, function=other)


def say_the_value(item: Item) -> TrainingRecord:
    """The parameter was in the query."""
    omitted = hard_of(item).omitted
    assert omitted is not None
    first, *rest = item.turns
    asked = first[0].model_copy(update={"content": f"{first[0].content} It is {omitted.value}."})
    return rebuild(item, [[asked, *first[1:]], *rest])


def put_a_value_around(item: Item) -> TrainingRecord:
    """The text around the request holds a value of it."""
    filler = hard_of(item).filler
    shown = [parse_result(m.content) for m in item.turns[0] if m.role == "tool"]
    value = next(leaf for _, leaf in iterate_leaves(shown) if is_distinctive(leaf))
    other = f"{filler} Somebody mentioned {value}."
    (asked, *rest), *_ = item.turns
    asked = asked.model_copy(update={"content": asked.content.replace(filler, other)})
    return rebuild(item, [[asked, *rest]], filler=other)


def call_one_by_one(item: Item) -> TrainingRecord:
    """The calls of one message are made in a row instead."""
    (messages,) = item.turns
    results = {m.tool_call_id: m for m in messages if m.role == "tool"}
    said: list[Message] = []
    for message in messages:
        if not message.tool_calls:
            said += [message] if message.role != "tool" else []
            continue
        for call in message.tool_calls:
            said += [message.model_copy(update={"tool_calls": (call,)}), results[call.id]]
    assert find_parallel_group(messages) is not None and find_parallel_group(said) is None
    return rebuild(item, [said])


def ask_for_an_own_tool(item: Item) -> TrainingRecord:
    """The request could be served after all."""
    own = item.environment.tools[0]
    return rebuild(item, item.turns, foreign=own.model_copy(update={"name": "do_it"}))


def leave_the_mistake_out(item: Item) -> TrainingRecord:
    """There was nothing to recover from."""
    (messages,) = item.turns
    return rebuild(item, [[messages[0], *messages[3:]]])


@pytest.mark.parametrize(
    ("kind", "mutate"),
    [
        ("missing_function", withhold_another),
        ("missing_parameter", say_the_value),
        ("long_context", put_a_value_around),
        ("parallel_calls", call_one_by_one),
        ("irrelevance", ask_for_an_own_tool),
        ("error_recovery", leave_the_mistake_out),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_mutant_of_each_kind_is_rejected_by_the_check_for_it(
    corpus: dict[str, list[Item]],
    kind: HardTurnKind,
    mutate: Callable[[Item], TrainingRecord],
) -> None:
    for item in corpus[kind]:
        assert "turn_kind" in item.fails(mutate(item))


def around_the_value(item: Item) -> TrainingRecord:
    """The omitted value is said in what poses as text around the request."""
    omitted = hard_of(item).omitted
    assert omitted is not None
    filler = f"By the way, the {omitted.label} is {omitted.value}."
    first, *rest = item.turns
    asked = first[0].model_copy(update={"content": f"{first[0].content}\n\n{filler}"})
    return rebuild(item, [[asked, *first[1:]], *rest], filler=filler)


def withhold_what_is_called(item: Item) -> TrainingRecord:
    """A tool that is called was not offered."""
    return rebuild(item, item.turns, function=item.record.certificate.turns[0].target)


def pose_as_second_part(item: Item) -> TrainingRecord:
    """The message before would stand in for the request."""
    return rebuild(item, item.turns, part=2)


@pytest.mark.parametrize(
    ("kind", "mutate", "said"),
    [
        ("missing_parameter", around_the_value, "'filler' is set"),
        ("error_recovery", withhold_what_is_called, "'function' is set"),
        ("error_recovery", pose_as_second_part, "has one part only"),
        ("irrelevance", pose_as_second_part, "has one part only"),
    ],
)
def test_a_record_with_fields_of_another_kind_is_rejected_and_cannot_be_read(
    corpus: dict[str, list[Item]],
    tmp_path: Path,
    kind: HardTurnKind,
    mutate: Callable[[Item], TrainingRecord],
    said: str,
) -> None:
    for number, item in enumerate(corpus[kind]):
        forged = mutate(item)
        assert "turn_kind" in item.fails(forged)
        file = tmp_path / f"{number}.jsonl"
        file.write_text(forged.model_dump_json() + "\n", encoding="utf-8")
        with pytest.raises(ExportError, match=said):
            read_records(file)


def test_a_call_of_a_tool_that_was_not_offered_is_not_valid(corpus: dict[str, list[Item]]) -> None:
    for item in corpus["error_recovery"]:
        assert "calls_valid" in item.fails(withhold_what_is_called(item))


def lie(item: Item, reply: str) -> TrainingRecord:
    """The reply of the first turn is another one."""
    first, *rest = item.turns
    closing = first[-1].model_copy(update={"content": reply})
    return rebuild(item, [[*first[:-1], closing], *rest])


@pytest.mark.parametrize("kind", ["missing_function", "missing_parameter", "irrelevance"])
@pytest.mark.parametrize(
    "reply",
    [
        "Sorry for the wait! All done, everything you asked for has been taken care of.",
        "I have put that on hold at the branch and used your account. Anything else?",
    ],
)
def test_a_reply_that_claims_to_have_done_it_is_rejected(
    corpus: dict[str, list[Item]], kind: str, reply: str
) -> None:
    for item in corpus[kind]:
        assert "turn_kind" in item.fails(lie(item, reply))


@pytest.mark.parametrize("kind", ["missing_function", "irrelevance"])
def test_a_reply_that_declines_in_other_words_is_accepted(
    corpus: dict[str, list[Item]], kind: str
) -> None:
    for item in corpus[kind]:
        assert (
            item.fails(lie(item, "Sorry, that is not among my tools. Nothing was done.")) == set()
        )


def test_a_request_that_an_own_tool_serves_in_part_is_not_irrelevant(
    corpus: dict[str, list[Item]],
) -> None:
    for item in corpus["irrelevance"]:
        (asked, *rest), *others = item.turns
        more = f"{asked.content} Also search the books written by Elif Demir."
        turns = [[asked.model_copy(update={"content": more}), *rest], *others]
        assert "turn_kind" in item.fails(rebuild(item, turns))


@pytest.mark.parametrize("kind", ["missing_function", "missing_parameter", "parallel_calls"])
def test_a_request_for_more_than_the_gold_calls_is_rejected(
    corpus: dict[str, list[Item]], kind: str
) -> None:
    for item in corpus[kind]:
        (asked, *rest), *others = item.turns
        more = f"{asked.content} Also search the books written by Zora Quimby."
        turns = [[asked.model_copy(update={"content": more}), *rest], *others]
        assert "query_clean" in item.fails(rebuild(item, turns))
