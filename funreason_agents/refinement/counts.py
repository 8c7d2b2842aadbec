"""Counts of a refinement: by outcome, by stage, by problem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]


def count_outcomes(outcomes: Sequence[Json], rounds: Sequence[Json] = ()) -> Json:
    """Return the counts of a refinement, in rows; only `regenerations` counts answers.

    `outcomes`, `forms` and `stages` each add up to `rows`. `stages` has, per check, the rows that
    it was the first to catch, by what became of them, and under `"none"` those that no check
    caught; a row that EGPO repairs and drops by its second stage stands under that one.
    `problems` adds up to the rows that a check caught. `repaired` has the rows that are kept with
    another answer, by who made it, and `failures` those for which a model was asked and gave an
    answer of no use, by the last such fault.
    """
    stages: dict[str, Counter[str]] = {}
    for each in outcomes:
        caught = "none" if each["stage"] is None else str(each["stage"])
        stages.setdefault(caught, Counter())[each["outcome"]] += 1
    problems = Counter(
        f"{each['stage']}: {each['problem']}" for each in outcomes if each["problem"]
    )
    return {
        "rows": len(outcomes),
        "outcomes": _ordered(Counter(each["outcome"] for each in outcomes)),
        "forms": _ordered(Counter(each["form"] or "unread" for each in outcomes)),
        "stages": {name: _ordered(stages[name]) for name in sorted(stages)},
        "problems": _ordered(problems),
        "repaired": _ordered(
            Counter(each["repaired_by"] for each in outcomes if each.get("repaired_by"))
        ),
        "regenerations": sum(each.get("regenerations", 0) for each in outcomes),
        "failures": _ordered(Counter(each["failure"] for each in outcomes if each.get("failure"))),
        "rounds": list(rounds),
    }


def apply_outcomes(
    rows: Sequence[Json], outcomes: Sequence[Json], kept: Sequence[str] = ("saved",)
) -> list[Json]:
    """Return the rows whose outcome is one of `kept`, each with its new answer if it has one."""
    found = []
    for each in outcomes:
        if each["outcome"] in kept:
            row = rows[int(each["key"])]
            found.append(
                {**row, "completion": [each["completion"]]} if "completion" in each else row
            )
    return found


def _ordered(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items()))
