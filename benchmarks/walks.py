"""How often walks reach their target: directed by the tool graph, and uniformly at random.

    python benchmarks/walks.py [--walks 60] [--seed 0] [--out data/walks.json] [TARGET ...]

Both kinds of walk start in the same states, have the same targets and tools, and the same argument
sampler; a uniform walk never makes fewer calls than the directed one beside it tried. Without
targets, the three bundled environments are measured, and BFCL's classes if they are set up.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from funreason_agents import load_environment
from funreason_agents.tool_graph.build import tool_graph_of
from funreason_agents.tool_graph.walk_report import WalkReport, compare_walks

ROOT = Path(__file__).resolve().parents[1]
BUNDLED = ("bookstore.py:Bookstore", "travel_tools.py:open_travel", "workshop.py:open_workshop")
BFCL_CLASSES = (
    "GorillaFileSystem",
    "MathAPI",
    "MessageAPI",
    "TwitterAPI",
    "TicketAPI",
    "TradingBot",
    "TravelAPI",
    "VehicleControlAPI",
)
BFCL_VENV = Path(os.environ.get("FUNREASON_BFCL_VENV") or ROOT / ".venv-bfcl")


def find_targets() -> list[str]:
    """Return what there is to measure on this machine."""
    targets = [f"{ROOT}/tools/{name}" for name in BUNDLED]
    if (BFCL_VENV / "funreason-bfcl.txt").is_file():
        targets += [f"{ROOT}/tools/bfcl.py:{name}" for name in BFCL_CLASSES]
    else:
        print("BFCL is not set up (python tools/bfcl.py setup): its classes are left out")
    return targets


def format_row(report: WalkReport, tools: str) -> str:
    """Return one line of the table."""
    cells = [f"{report.environment_id:<28}{tools:>8}"]
    for counts in (report.directed, report.uniform):
        cells.append(f"{counts.reached:>7}/{counts.started:<3}{counts.reach_rate:>6.0%}")
        cells.append(f"{counts.succeeded:>6}/{counts.executed:<4}{counts.success_rate:>6.0%}")
    return "".join(cells)


def main() -> None:
    """Measure, print the table, write the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--walks", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("data/walks.json"))
    options = parser.parse_args()
    print(
        f"{'':<36}{'directed: reached':>17}{'no error':>17}{'uniform: reached':>17}{'no error':>17}"
    )
    rows = []
    for target in options.targets or find_targets():
        environment = load_environment(target)
        started = time.perf_counter()
        graph = tool_graph_of(environment)
        built = time.perf_counter() - started
        report = compare_walks(environment, graph, walks=options.walks, seed=options.seed)
        print(format_row(report, f"{len(graph.reachable)}/{len(graph.tools)}"), flush=True)
        rows.append({
            **report.to_json(),
            "tools": len(graph.tools),
            "reachable": len(graph.reachable),
            "graph_seconds": round(built, 2),
        })  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"walks": options.walks, "seed": options.seed, "reports": rows}, indent=2)
    options.out.write_text(text + "\n", encoding="utf-8")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
