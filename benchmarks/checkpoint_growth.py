"""Measure the checkpoint bytes that one turn costs, for short and long trajectories.

    python benchmarks/checkpoint_growth.py

Offline, with the bookstore. Bytes are those of the blobs in the two tables of `SqliteSaver`
(`checkpoints` and `writes`), and of the file, which adds SQLite's pages.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver

from funreason_agents import Environment, SynthesisContext, create_supervisor, load_environment

ROOT = Path(__file__).parents[1]
BOOKSTORE = f"{ROOT / 'tools' / 'bookstore.py'}:Bookstore"
TURNS = (2, 4, 8, 16)


def measure_turns(environment: Environment, turns: int, count: int) -> dict[str, float]:
    """Make `count` accepted trajectories of `turns` turns and return the bytes per turn.

    Each has a file of its own. Rejected ones do not count: they end early. Rejected turns do.
    """
    totals: Counter[str] = Counter()
    for index in range(10 * count):
        with tempfile.TemporaryDirectory() as folder:
            sizes = measure_trajectory(environment, turns, index, Path(folder) / "threads.sqlite")
        totals.update(sizes)
        if totals["accepted"] == count:
            break
    made, kilobytes = totals["turns"], ("checkpoints", "writes", "total", "file")
    row: dict[str, float] = {"turns": turns, "accepted": totals["accepted"]}
    row |= {f"{name}_kb": round(totals[name] / made / 1000, 1) for name in kilobytes}
    return {**row, "steps": round(totals["steps"] / made, 1)}


def measure_trajectory(
    environment: Environment, turns: int, index: int, path: Path
) -> dict[str, int]:
    """Make one trajectory and return its bytes; nothing if it is rejected."""
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        graph = create_supervisor(environment=environment, checkpointer=SqliteSaver(connection))
        thread: Any = {"configurable": {"thread_id": f"thread-{index}"}}
        out = graph.invoke(
            {"seed": 7, "index": index}, thread, context=SynthesisContext(turns=turns)
        )
        if out["status"] != "accepted":
            return {}
        blobs, steps = connection.execute(
            "SELECT sum(length(checkpoint)), count(*) FROM checkpoints"
        ).fetchone()
        writes = connection.execute("SELECT sum(length(value)) FROM writes").fetchone()[0]
        connection.execute("VACUUM")
    finally:
        connection.close()
    return {
        "accepted": 1,
        "turns": turns + len(out["trajectory"]["rejected_turns"]),
        "checkpoints": blobs,
        "writes": writes,
        "total": blobs + writes,
        "file": path.stat().st_size,
        "steps": steps,
    }


def main() -> None:
    """Print the table and write it as JSON."""
    parser = argparse.ArgumentParser(description="Checkpoint bytes per turn.")
    parser.add_argument("--trajectories", type=int, default=8)
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "checkpoint_growth.json")
    options = parser.parse_args()
    environment = load_environment(BOOKSTORE, isolated=False)
    rows = [measure_turns(environment, turns, options.trajectories) for turns in TURNS]
    print(" ".join(f"{name:>15}" for name in rows[0]))
    for row in rows:
        print(" ".join(f"{value:>15g}" for value in row.values()))
    result = {"trajectories": options.trajectories, "unit": "per turn", "rows": rows}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
