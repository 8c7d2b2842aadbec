"""What somebody meets in the first minutes with tools of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WORLD = '''
from langchain_core.tools import tool

CODES = {"xanthe": "Q-1"}


@tool
def find_code(region: str) -> dict:
    """Look up the code of a region."""
    return {"region_code": CODES[region]}


tools = [find_code]
'''


def funreason(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "funreason_agents.cli", *words]
    return subprocess.run(line, cwd=place, capture_output=True, text=True, check=False)


def test_tools_that_never_succeed_are_told_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "world.py").write_text(WORLD, encoding="utf-8")
    done = funreason(tmp_path, "synthesize", "world.py:tools", "-n", "2", "--out", "run")
    assert done.returncode == 2
    assert "no tool of 'world:tools' could be made to succeed (find_code: KeyError" in done.stderr
    assert "Traceback" not in done.stderr


def test_values_named_in_the_docstring_make_a_tool_reachable(tmp_path: Path) -> None:
    told = WORLD.replace("of a region.", "of a region, such as 'xanthe'.")
    told = told.replace("region: str", 'region: Literal["xanthe"]')
    (tmp_path / "world.py").write_text("from typing import Literal\n" + told, encoding="utf-8")
    out = ["--turns", "1", "-n", "1", "--out", "run"]
    done = funreason(tmp_path, "synthesize", "world.py:tools", *out)
    assert done.returncode == 0, done.stdout + done.stderr


def test_summary_of_a_run_shows_every_column_and_whole_queries(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    target = f"{root}/tools/workshop.py:open_workshop"
    funreason(tmp_path, "synthesize", target, "-n", "2", "--seed", "7", "--out", "run")
    summary = funreason(tmp_path, "show", "run").stdout
    assert all(name in summary for name in ("N", "turns", "calls", "targets", "first query"))
    row = next(line for line in summary.splitlines() if line.split()[:2] == ["0", "3"])
    assert int(row.split()[2]) >= 3
    shown = funreason(tmp_path, "show", "run", "0").stdout
    assert "replays" in shown
    assert all(
        line.rstrip().endswith(("│", "╮", "╯")) for line in shown.splitlines() if "│" in line
    )
