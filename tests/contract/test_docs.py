"""The documents stay true: their links and paths lead somewhere, their tables are current."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


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
        default = field.get_default(call_default_factory=True)
        assert shown.lower() == str(default).lower().replace("'", '"')


def test_make_help_lists_the_two_commands_of_the_readme() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "make demo" in done.stdout
    assert "make test" in done.stdout
