"""The outcomes as one JSON file and one page to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def find_shortfalls(outcomes: list[dict[str, Any]], trajectories: int, calls: int) -> list[str]:
    """Return in which points the runs fall short of what is asked; a low yield is none."""
    wrong = []
    for outcome in outcomes:
        name = outcome["run"]
        if outcome.get("crash"):
            wrong.append(f"{name}: crashed")
        if outcome.get("stopped_early"):
            wrong.append(f"{name}: given up: {outcome['stopped_early']}")
        if outcome.get("own_faults"):
            found = [*outcome["own_faults"].items(), *outcome["failure_messages"]]
            wrong.append(f"{name}: failures that are no model's fault: {found}")
        if name == "all" and outcome.get("attempted", 0) < trajectories:
            wrong.append(f"{name}: {outcome.get('attempted', 0)} trajectories of {trajectories}")
        reached = outcome.get("calls", {}).get(name, {}).get("calls", 0)
        if name != "all" and reached < calls:
            wrong.append(f"{name}: {reached} calls of {calls}")
    return wrong


def write_results(
    folder: Path, settings: dict[str, Any], outcomes: list[dict[str, Any]], shortfalls: list[str]
) -> None:
    """Write `live.json` and `live.md` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    results = {"settings": settings, "shortfalls": shortfalls, "runs": outcomes}
    text = json.dumps(results, indent=2, ensure_ascii=False)
    (folder / "live.json").write_text(text + "\n", encoding="utf-8")
    (folder / "live.md").write_text(_page(settings, outcomes, shortfalls), encoding="utf-8")


def _page(settings: dict[str, Any], outcomes: list[dict[str, Any]], shortfalls: list[str]) -> str:
    knobs = ", ".join(f"{name} {value}" for name, value in settings.items())
    lines = [
        "# The pipeline on a small real model",
        "",
        f"Made by `make live-test`: {knobs}.",
        "In run `all` the model plays every role; in the others one, with the offline model in "
        "the other three. A weak model is rejected often: that is what the checks are for.",
        "",
        *_table(
            ("run", "attempted", "accepted", "rejected", "failed", "turns accepted", "turns "
             "rejected", "seconds"),
            [[o["run"], *(o.get(key, "-") for key in (
                "attempted", "accepted", "rejected", "failed", "turns_accepted", "turns_rejected",
                "seconds"))] for o in outcomes],
        ),
        "",
        f"Falls short: {'; '.join(shortfalls)}." if shortfalls else
        "No crash, no failure but by provider trouble, every run as large as asked.",
    ]  # fmt: skip
    for outcome in outcomes:
        lines += ["", f"## {outcome['run']}", "", *_details(outcome)]
    return "\n".join(lines) + "\n"


def _details(outcome: dict[str, Any]) -> list[str]:
    ends = [["rejected turn", key, n] for key, n in outcome.get("rejections", {}).items()]
    ends += [["failed trajectory", key, n] for key, n in outcome.get("failures", {}).items()]
    ends += [
        ["accepted turn", f"round {key}", n]
        for key, n in outcome.get("accepted_by_round", {}).items()
    ]
    on = ", ".join(f"{name} {value}" for name, value in outcome["context"].items())
    lines = [f"On {outcome['environment']}: {on}.", ""]
    lines += _table(("outcome", "stage: reason", "count"), ends) if ends else ["Nothing ended."]
    keys = (
        "calls", "answered", "asked_again", "truncated", "with_tool_calls",
        "with_broken_tool_calls", "input_tokens", "output_tokens", "seconds_median",
        "seconds_longest",
    )  # fmt: skip
    rows = [
        [role, *(counts[key] for key in keys), _counts(counts["errors"])]
        for role, counts in outcome.get("calls", {}).items()
    ]
    titles = [key.replace("_", " ") for key in keys]
    if rows:
        lines += ["", *_table(("role", *titles, "no answer"), rows)]
    for role, counts in outcome.get("calls", {}).items():
        lines += ["", f"First answers as `{role}`:", ""]
        lines += [f"- {_code(answer)}" for answer in counts["first_answers"]]
    if outcome.get("crash"):
        lines += ["", "```text", outcome["crash"].rstrip(), "```"]
    return lines


def _table(titles: tuple[str, ...], rows: list[list[Any]]) -> list[str]:
    cells = [titles, ("---",) * len(titles), *rows]
    return [
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in cells
    ]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.items()) or "-"


def _code(text: str) -> str:
    return "`` " + " ".join(text.split()) + " ``" if text.strip() else "(empty)"
