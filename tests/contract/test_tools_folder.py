"""Every environment in `tools/` is fit for verified data."""

import os
from pathlib import Path

import pytest

from funreason_agents.testing import check_environment

ROOT = Path(__file__).resolve().parents[2]
NAMES = {
    "bookstore.py": "Bookstore",
    "travel_tools.py": "open_travel",
    "workshop.py": "open_workshop",
}
BFCL_VENV = Path(os.environ.get("FUNREASON_BFCL_VENV") or ROOT / ".venv-bfcl")
BFCL_CLASSES = (
    "GorillaFileSystem", "MathAPI", "MessageAPI", "TwitterAPI",
    "TicketAPI", "TradingBot", "TravelAPI", "VehicleControlAPI",
)  # fmt: skip


def test_each_file_in_tools_is_checked_here():
    assert {path.name for path in (ROOT / "tools").glob("*.py")} == {*NAMES, "bfcl.py", "bfcl_world.py"}


@pytest.mark.parametrize("file", sorted(NAMES))
def test_the_example_environment_passes(file):
    report = check_environment(f"{ROOT}/tools/{file}:{NAMES[file]}", seeds=(0,))
    assert report.passed, str(report)


@pytest.mark.bfcl
@pytest.mark.skipif(not (BFCL_VENV / "funreason-bfcl.txt").is_file(), reason="BFCL is not set up")
@pytest.mark.parametrize("name", BFCL_CLASSES)
def test_the_bfcl_class_passes(name):
    report = check_environment(f"{ROOT}/tools/bfcl.py:{name}", seeds=(0,))
    assert report.passed, str(report)
