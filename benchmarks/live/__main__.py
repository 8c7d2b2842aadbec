"""Run the pipeline against a small real model; `make live-test`.

    python -m benchmarks.live [--only all,tooling] [--fresh] [--base-url URL]

Sets up vLLM and the model (see server.py), serves it, runs the tests in tests/live, attempts 30
trajectories with the model in all roles, and then gives each role alone to it, with the offline
model in the other three, until 30 calls reached that role. What is done is kept in data/live: the
same line goes on where it was stopped. About an hour on two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from benchmarks.live.report import find_shortfalls, write_results
from benchmarks.live.runs import ROLES, Plan, forget, read_outcome, run_named
from benchmarks.live.server import SetupError, listen_to_signals, serve, set_up

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("all", *ROLES)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.live", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--only", default=",".join(NAMES), help="runs, joined by commas")
    parser.add_argument("--fresh", action="store_true", help="forget what these runs did before")
    parser.add_argument("--no-tests", action="store_true", help="leave tests/live out")
    parser.add_argument("--base-url", help="a server that runs already")
    parser.add_argument("--environment", default="tools/bookstore.py:Bookstore")
    parser.add_argument("--trajectories", type=int, default=30)
    parser.add_argument("--calls", type=int, default=30, help="calls that reach a role alone")
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--turn-attempts", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--temperature", type=float, default=0.3)
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for one call")
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--out", type=Path, default=ROOT / "data/live")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results")
    options = parser.parse_args()
    if unknown := set(options.only.split(",")) - set(NAMES):
        parser.error(f"--only knows {', '.join(NAMES)}, not {', '.join(sorted(unknown))}")
    return options


@contextlib.contextmanager
def reach_server(base_url: str | None, log: Path) -> Iterator[str]:
    """Yield the address of the server that is given, else of one started for the occasion."""
    if base_url:
        yield base_url
        return
    set_up()
    print("Starting the server ...", flush=True)
    with serve(log) as started:
        yield started


def find_model(base_url: str) -> str:
    """Return the name of the first model that a server serves."""
    with urllib.request.urlopen(f"{base_url}/models", timeout=30) as answer:
        return str(json.load(answer)["data"][0]["id"])


def run_tests(base_url: str) -> int:
    """Run tests/live against the server and return the exit status."""
    command = [sys.executable, "-m", "pytest", "tests/live"]
    env = {**os.environ, "FUNREASON_LIVE_URL": base_url}
    return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode


def run_all(options: argparse.Namespace, base_url: str) -> int:
    """Do every run that is wanted, write the results after each, and return the exit status."""
    knobs = (
        "environment", "trajectories", "calls", "turns", "turn_attempts", "seed", "max_tokens",
        "temperature", "timeout", "concurrency", "out",
    )  # fmt: skip
    plan = Plan(
        base_url=base_url,
        model=find_model(base_url),
        **{name: getattr(options, name) for name in knobs},
    )
    wanted = options.only.split(",")
    for name in wanted:
        if options.fresh:
            forget(plan, name)
        outcome = run_named(plan, name)
        ended = [found for each in NAMES if (found := read_outcome(plan.out / each))]
        wrong = find_shortfalls(ended, plan.trajectories, plan.calls)
        write_results(options.results, plan.describe(), ended, wrong)
        if outcome.get("interrupted"):
            print("Interrupted; the same line goes on from here.")
            return 130
    missing = [name for name in NAMES if not read_outcome(plan.out / name)]
    print(f"Written to {options.results}/live.md")
    for line in [*wrong, *(f"{name}: not run" for name in missing)]:
        print(line)
    return 1 if wrong else 0


def main() -> int:
    """Set up, serve, test, run; return the exit status."""
    options = read_options()
    os.chdir(ROOT)  # environments are named from here, so that results tell nothing of the machine
    listen_to_signals()
    try:
        with reach_server(options.base_url, options.out / "server.log") as base_url:
            tests = 0 if options.no_tests else run_tests(base_url)
            return run_all(options, base_url) or tests
    except SetupError as exc:
        print(exc, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
