"""Which check of the data refiner catches which planted fault, offline: a confusion table.

    python benchmarks/refinement.py [--rows 200] [--per-stage 28] [--seed 0]
                                    [--out benchmarks/results/refinement.json]

The rows are steps of records that are synthesised offline from the bundled environments, hard
turns included. Nothing but code checks and repairs them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from planted_faults import Planted, plant_faults

from funreason_agents import load_environment, synthesize
from funreason_agents.config import SynthesisContext
from funreason_agents.export.formats import to_trl_step_rows
from funreason_agents.graphs.data_refiner import create_data_refiner
from funreason_agents.refinement.responses import read_response

TARGETS = (
    "tools/bookstore.py:Bookstore",
    "tools/travel_tools.py:open_travel",
    "tools/workshop.py:open_workshop",
)
STAGES = ("none", "1", "2", "3", "4", "5")


def make_rows(trajectories: int, seed: int) -> list[dict[str, Any]]:
    """Synthesise records offline and return their step rows."""
    context = SynthesisContext(
        turns=3, hard_turns={"missing_parameter": 0.1, "irrelevance": 0.1, "parallel_calls": 0.1}
    )
    rows = []
    for target in TARGETS:
        with tempfile.TemporaryDirectory() as folder:
            run = synthesize(
                environment=load_environment(target),
                num_trajectories=trajectories,
                out=folder,
                seed=seed,
                context=context,
            )
            rows += [row for record in run.records() for row in to_trl_step_rows(record)]
    return rows


def content_of(message: dict[str, Any]) -> dict[str, Any]:
    """Return what an answer says, without the numbers of its calls."""
    response = read_response(message, ())
    calls = [(call.name, call.arguments) for call in response.calls]
    return {"reasoning": response.reasoning, "text": response.text, "calls": calls}


def measure(planted: list[Planted]) -> dict[str, Any]:
    """Refine the rows by FCDR and compare with what was planted."""
    graph = create_data_refiner()
    state = graph.invoke({"rows": [each.row for each in planted], "mode": "fcdr"})
    table = {stage: dict.fromkeys(STAGES, 0) for stage in STAGES}
    missed: Counter[str] = Counter()
    repairs: Counter[str] = Counter()
    for each, outcome in zip(planted, state["outcomes"], strict=True):
        wanted = str(each.fault.stage) if each.fault else "none"
        caught = "none" if outcome["stage"] is None else str(outcome["stage"])
        table[wanted][caught] += 1
        if wanted != caught:
            name = each.fault.name if each.fault else "clean"
            missed[f"{name} ({wanted}): caught by {caught}, {outcome['problem']}"] += 1
        repairs[judge_repair(each, outcome)] += 1
    right = sum(table[stage][stage] for stage in STAGES)
    return {
        "rows": len(planted),
        "kinds": dict(
            sorted(Counter(f"{p.fault.stage} {p.fault.name}" for p in planted if p.fault).items())
        ),
        "confusion": table,
        "right_stage": right,
        "elsewhere": dict(sorted(missed.items())),
        "repairs": dict(sorted(repairs.items())),
        "counts": state["counts"],
    }


def judge_repair(each: Planted, outcome: dict[str, Any]) -> str:
    """Return what became of a row, seen from what it should have been."""
    if outcome["outcome"] == "dropped":
        return "dropped, " + (
            "clean"
            if each.fault is None
            else "faulty"
            if not each.fault.repairable
            else "repairable"
        )
    if "completion" not in outcome:
        return "saved as it was, " + ("faulty" if each.fault else "clean")
    same = content_of(outcome["completion"]) == content_of(each.truth["completion"][0])
    return "repaired, " + ("equal to the truth" if same else "other than the truth")


def main() -> None:
    """Measure, print the table, write the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--per-stage", type=int, default=28)
    parser.add_argument("--trajectories", type=int, default=14)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/refinement.json"))
    options = parser.parse_args()
    rows = make_rows(options.trajectories, options.seed)
    planted = plant_faults(rows, total=options.rows, per_stage=options.per_stage, seed=options.seed)
    found = measure(planted)
    untouched = create_data_refiner().invoke({"rows": rows, "mode": "fcdr"})["counts"]
    print("planted \\ caught by  " + "".join(f"{stage:>6}" for stage in STAGES))
    for stage in STAGES:
        cells = "".join(f"{found['confusion'][stage][other]:>6}" for other in STAGES)
        print(f"{stage:>20} {cells}")
    print(f"{found['right_stage']} of {found['rows']} at the right check")
    caught = untouched["rows"] - sum(untouched["stages"].get("none", {}).values())
    print(f"of all {untouched['rows']} rows without a fault, {caught} are caught")
    for name in ("elsewhere", "repairs"):
        print(name)
        for line, count in found[name].items():
            print(f"  {count:>4}  {line}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    report = {"seed": options.seed, "untouched_source_rows": untouched, **found}
    options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
