"""BFCL's eight API classes as environments."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from funreason_agents import SynthesisContext, load_environment, synthesize
from funreason_agents.schemas.tools import ToolCall
from funreason_agents.testing import check_environment

ROOT = Path(__file__).resolve().parents[2]
VENV = Path(os.environ.get("FUNREASON_BFCL_VENV") or ROOT / ".venv-bfcl")
CLASSES = {
    "GorillaFileSystem": 18,
    "MathAPI": 17,
    "MessageAPI": 10,
    "TwitterAPI": 14,
    "TicketAPI": 9,
    "TradingBot": 20,
    "TravelAPI": 18,
    "VehicleControlAPI": 22,
}
TRAJECTORIES = 8

pytestmark = [
    pytest.mark.bfcl,
    pytest.mark.skipif(
        not (VENV / "funreason-bfcl.txt").is_file(),
        reason=f"BFCL is not set up in {VENV}: run `python tools/bfcl.py setup`",
    ),
]


def open_bfcl(name):
    return load_environment(f"{ROOT}/tools/bfcl.py:{name}")


def run_tool(*arguments):
    command = [sys.executable, str(ROOT / "tools/bfcl.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", CLASSES)
def test_the_class_passes_the_doctor(name):
    report = check_environment(f"{ROOT}/tools/bfcl.py:{name}", seeds=(0,))
    assert report.passed, str(report)


@pytest.mark.parametrize("name", CLASSES)
def test_the_class_yields_verified_trajectories_offline(name, tmp_path):
    environment = open_bfcl(name)
    assert len(environment.tools) == CLASSES[name]
    run = synthesize(
        environment=environment,
        num_trajectories=TRAJECTORIES,
        out=tmp_path / name,
        context=SynthesisContext(turns=2),
        seed=3,
        max_concurrency=2,
    )
    assert run.failed == 0
    assert run.accepted >= 5
    assert run.statistics.trajectory_yield >= 0.6
    for record in run.records():
        assert sum(message.role == "user" for message in record.messages) == 2


def test_what_a_model_writes_is_never_evaluated(tmp_path):
    trap = tmp_path / "executed"
    code = f"__import__('os').system('touch {trap}')"
    for name in ("GorillaFileSystem", "MathAPI", "TwitterAPI"):
        environment = open_bfcl(name)
        session = environment.open(1)
        for tool in environment.tools:
            arguments = {
                key: [code] if schema.get("type") == "array" else code
                for key, schema in tool.properties.items()
            }
            session.call(ToolCall(id="c", name=tool.name, arguments=arguments))
            session.call(ToolCall(id="c", name=f"{tool.name}({code})", arguments={}))
        session.close()
    assert not trap.exists()


def test_classes_can_share_a_session(tmp_path):
    environment = open_bfcl("TwitterAPI+GorillaFileSystem")
    assert len(environment.tools) == CLASSES["TwitterAPI"] + CLASSES["GorillaFileSystem"]
    session = environment.open(2)
    assert set(session.state()) == {"TwitterAPI", "GorillaFileSystem"}
    before = session.state()["TwitterAPI"]
    result = session.call(ToolCall(id="c", name="touch", arguments={"file_name": "shared.txt"}))
    assert not result.is_error
    assert session.state()["TwitterAPI"] == before
    session.close()


def test_the_command_lists_all_tools():
    listed = run_tool("list").splitlines()
    counts = {line.split()[0]: int(line.split()[1]) for line in listed if line.endswith(" tools")}
    assert counts == {**CLASSES, "all_classes": sum(CLASSES.values())}
    assert sum(CLASSES.values()) == 128


def test_the_command_names_the_data_folder():
    folder = Path(run_tool("data").strip())
    assert (folder / "BFCL_v4_multi_turn_base.json").is_file()
