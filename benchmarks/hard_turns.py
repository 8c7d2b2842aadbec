"""Accepted hard turns by kind and environment, offline, and why the others were rejected.

    python benchmarks/hard_turns.py [--trajectories 8] [--turns 2] [--turn-attempts 6] [--seed 0]
                                    [--kind KIND] [--out benchmarks/results/hard_turns.json]
                                    [TARGET ...]

For each kind every turn is to be of it, and a trajectory counts only if all of its turns are.
Without targets, the three bundled environments are measured, and BFCL's classes if they are set up.
Every accepted trajectory is made a record and verified anew from the record alone. A turn of two
messages counts once.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, get_args

from walks import find_targets

from funreason_agents import load_environment, synthesize
from funreason_agents.config import SynthesisContext
from funreason_agents.environments.base import Environment
from funreason_agents.schemas.record import TrainingRecord
from funreason_agents.schemas.tasks import HardTurnKind
from funreason_agents.verification.replay import verify_record

KINDS: tuple[HardTurnKind, ...] = get_args(HardTurnKind)


def measure(
    environment: Environment, kind: HardTurnKind, options: argparse.Namespace
) -> dict[str, Any]:
    """Run `kind` alone on an environment and count what came of it."""
    context = SynthesisContext(
        turns=options.turns, turn_attempts=options.turn_attempts, hard_turns={kind: 1.0}
    )
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as directory:
        run = synthesize(
            environment=environment,
            num_trajectories=options.trajectories,
            out=Path(directory) / "run",
            seed=options.seed,
            context=context,
        )
        records = list(run.records())
    return {
        "environment": environment.id,
        "kind": kind,
        "trajectories": options.trajectories,
        "accepted_trajectories": len(records),
        "accepted_turns": sum(count_turns(record, kind) for record in records),
        "verified_records": sum(verify_record(each, environment).reproduced for each in records),
        "left_out_as_duplicates": run.statistics.duplicates + run.statistics.near_duplicates,
        "rejections": dict(run.statistics.rejections.most_common()),
        "failures": dict(run.statistics.errors),
        "seconds": round(time.perf_counter() - started, 1),
    }


def count_turns(record: TrainingRecord, kind: HardTurnKind) -> int:
    """Return how many turns of a kind a record holds."""
    turns = [turn.hard for turn in record.certificate.turns]
    return sum(hard is not None and hard.kind == kind and hard.part == 1 for hard in turns)


def main() -> None:
    """Measure, print the table, write the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--trajectories", type=int, default=8)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--turn-attempts", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=KINDS, dest="kinds")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/hard_turns.json"))
    options = parser.parse_args()
    rows = []
    for target in options.targets or find_targets():
        environment = load_environment(target)
        for kind in options.kinds or KINDS:
            row = measure(environment, kind, options)
            row["group"] = "bfcl" if "bfcl" in target else "bundled"
            rows.append(row)
            print(
                f"{row['environment']:<28}{kind:<20}{row['accepted_turns']:>4} turns in "
                f"{row['accepted_trajectories']:>3}/{row['trajectories']:<3} verified "
                f"{row['verified_records']:>3}  {row['seconds']:>6}s  {row['rejections']}",
                flush=True,
            )
    totals: dict[str, Counter[str]] = {kind: Counter() for kind in options.kinds or KINDS}
    for row in rows:
        totals[row["kind"]][row["group"]] += row["accepted_turns"]
    print(f"\n{'accepted turns':<20}{'bundled':>10}{'bfcl':>10}")
    for kind, counts in totals.items():
        print(f"{kind:<20}{counts['bundled']:>10}{counts['bfcl']:>10}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "seed": options.seed,
        "turns_per_trajectory": options.turns,
        "turn_attempts": options.turn_attempts,
        "accepted_turns": {kind: dict(counts) for kind, counts in totals.items()},
        "runs": rows,
    }
    options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
