"""Every environment in `tools/` is fit for verified data."""

from pathlib import Path

import pytest

from funreason_agents.testing import check_environment

ROOT = Path(__file__).resolve().parents[2]
NAMES = {
    "bookstore.py": "Bookstore",
    "travel_tools.py": "open_travel",
    "workshop.py": "open_workshop",
}


def test_each_file_in_tools_is_checked_here():
    files = {path.name for path in (ROOT / "tools").glob("*.py")}
    # BFCL's classes go through the doctor in tests/e2e.
    assert files == {*NAMES, "bfcl.py", "bfcl_world.py"}


@pytest.mark.parametrize("file", sorted(NAMES))
def test_the_example_environment_passes(file):
    report = check_environment(f"{ROOT}/tools/{file}:{NAMES[file]}", seeds=(0,))
    assert report.passed, str(report)
