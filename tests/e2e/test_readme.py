"""The README's code and commands run, from a directory with nothing but the example tools."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    [
        line.partition("#")[0].strip()
        for line in block.splitlines()
        # What stands for the reader's own environment or model cannot be run here.
        if line.startswith("funreason ") and not re.search(r" ENV\b| MODEL\b", line)
    ]
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
]
"""Those of each block: a line may need what one above it has made."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty directory with our example tools and what `make demo` leaves, only smaller."""
    place = tmp_path_factory.mktemp("workspace")
    (place / "tools").symlink_to(ROOT / "tools")
    run(
        place,
        "funreason synthesize tools/bookstore.py:Bookstore -n 3 --seed 7 --out data/bookstore",
    )
    return place


def run(place: Path, line: str) -> str:
    words = [sys.executable, "-m", "funreason_agents.cli", *shlex.split(line)[1:]]
    done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("code", PYTHON_BLOCKS, ids=range(len(PYTHON_BLOCKS)))
def test_python_in_the_readme_runs(code: str, workspace: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=workspace, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("lines", [each for each in COMMANDS if each], ids=lambda each: each[0])
def test_commands_in_the_readme_run(lines: list[str], workspace: Path) -> None:
    for line in lines:
        assert run(workspace, line).strip(), line


def test_readme_has_both_python_and_commands() -> None:
    assert len(PYTHON_BLOCKS) >= 4
    assert sum(map(len, COMMANDS)) >= 12
