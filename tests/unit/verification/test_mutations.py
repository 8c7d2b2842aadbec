"""Anchor: a record spoilt in any of these ways is rejected, by the check that is there for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import mutations
import pytest
from builders import Item, Mutant

MOST = int(os.environ.get("FUNREASON_MUTANTS", "10"))
"""Mutants of one kind that are verified: spread evenly, so that the tests stay quick."""


def survivors(mutants: Iterable[Mutant], *checks: str) -> tuple[int, list[str]]:
    every = list(mutants)
    tried = every[:: max(1, len(every) // MOST)]
    failed = [(m, m.item.fails(m.record)) for m in tried]
    return len(tried), [f"{m.note} -> {found}" for m, found in failed if not found & set(checks)]


def test_every_record_of_the_corpus_verifies(corpus: list[Item]) -> None:
    assert [item.fails(item.record) for item in corpus] == [set()] * len(corpus)


@pytest.mark.parametrize(
    ("kind", "options", "check"),
    [
        (mutations.drop_calls, {}, "calls_match"),
        (mutations.swap_calls, {"dependent": True}, "calls_match"),
        (mutations.change_arguments, {}, "calls_match"),
        (mutations.change_results, {}, "replays"),
        (mutations.invent_claims, {}, "reply_grounded"),
        (mutations.change_claims, {}, "reply_grounded"),
        (mutations.swap_claims, {}, "reply_grounded"),
        (mutations.add_calls, {"write": True}, "calls_match"),
        (mutations.add_calls, {"write": False}, "arguments_derivable"),
        (mutations.name_identifiers, {}, "query_clean"),
        (mutations.reveal_results, {}, "query_clean"),
        (mutations.ask_for_more, {}, "query_clean"),
        (mutations.claim_other_deeds, {}, "reply_grounded"),
        (mutations.withhold_inputs, {}, "query_clean"),
        (mutations.mention_scaffolding, {}, "scaffolding_absent"),
        (mutations.swap_turns, {}, "replays"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_every_mutant_is_rejected_by_its_check(
    corpus: list[Item], kind: Callable[..., Iterable[Mutant]], options: dict[str, Any], check: str
) -> None:
    count, passed = survivors(kind(corpus, **options), check)
    assert count >= 3
    assert passed == []


def test_two_reads_may_swap(corpus: list[Item]) -> None:
    mutants = list(mutations.swap_calls(corpus, dependent=False))
    failed = [mutant.item.fails(mutant.record) for mutant in mutants]
    assert mutants
    assert [found for found in failed if "calls_match" in found] == []
    assert set() in failed
