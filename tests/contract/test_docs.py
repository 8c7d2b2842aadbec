"""The documents stay true: their code runs, their commands run, their links lead somewhere."""

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
    line.partition("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("funreason ") and " ENV " not in line
]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty directory with our example tools and what `make demo` leaves, only smaller."""
    place = tmp_path_factory.mktemp("workspace")
    (place / "tools").symlink_to(ROOT / "tools")
    run(place, "funreason synthesize tools/bookstore.py:Bookstore -n 3 --seed 7 --out data/bookstore")
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


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_in_the_readme_run(line: str, workspace: Path) -> None:
    assert run(workspace, line).strip()


def test_readme_has_both_python_and_commands() -> None:
    assert len(PYTHON_BLOCKS) >= 4
    assert len(COMMANDS) >= 4


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "AGENTS.md", "CHANGELOG.md"])
def test_paths_that_documents_name_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    paths = re.findall(r"`((?:tools|examples|tests|notebooks|benchmarks)/[\w/.]+)`", text)
    missing = [path for path in [*links, *paths] if not (ROOT / path.rstrip("/")).exists()]
    assert missing == []


def test_configuration_table_names_every_knob() -> None:
    from funreason_agents import SynthesisContext

    for name, field in SynthesisContext.model_fields.items():
        row = next(line for line in README.splitlines() if line.startswith(f"| `{name}`"))
        shown = row.split("|")[2].strip().strip("`")
        assert shown == str(field.default).lower()


def test_make_help_lists_the_two_commands_of_the_readme() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "make demo" in done.stdout
    assert "make test" in done.stdout
