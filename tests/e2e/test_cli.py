"""The commands as a newcomer meets them: what they print, and how they end."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from funreason_agents import SynthesisContext, load_environment, synthesize

ROOT = Path(__file__).parents[2]
KIOSK = ROOT / "tests" / "unit" / "runs" / "kiosk.py"


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory):
    """A world without workers, so that a command line takes no second to start."""
    path = tmp_path_factory.mktemp("world") / "worlds.py"
    path.write_text(
        f"import sys\nsys.path.append({str(KIOSK.parent)!r})\n"
        "from kiosk import Kiosk, Raises\nfrom funreason_agents import Environment\n"
        "world = Environment.from_class(Kiosk)\n"
        "changed = Environment.from_class(Raises, id=world.id)\n"
        "other = Environment.from_class(Kiosk, id='other')\n"
    )
    return path


@pytest.fixture(scope="module")
def made_once(kiosk, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "run"
    synthesize(
        environment=load_environment(f"{kiosk}:world"),
        num_trajectories=4,
        out=out,
        seed=3,
        context=SynthesisContext(turns=2),
        target=f"{kiosk}:world",
    )
    return out


@pytest.fixture
def made(made_once, tmp_path):
    return shutil.copytree(made_once, tmp_path / "run")


def test_main_flow_from_tools_to_rows(funreason, kiosk, tmp_path):
    out = tmp_path / "my run"
    status, said = funreason("synthesize", f"{kiosk}:world", "--out", out, "-n", 4, "--turns", 2)
    assert status == 0
    assert "of 4 trajectories accepted" in said
    assert f"funreason show '{out}' 0" in said
    status, said = funreason("show", out)
    assert (status, "seed 0, model offline: finished" in said) == (0, True)
    status, said = funreason("show", out, 0)
    assert (status, "ok calls_match" in said) == (0, True)
    status, said = funreason("verify", out)
    assert (status, "records reproduce" in said) == (0, True)
    status, said = funreason("export", out, "--out", out / "rows", "--heldout", 0)
    assert (status, "rows of" in said) == (0, True)
    row = json.loads((out / "rows" / "train.jsonl").read_text().splitlines()[0])
    assert set(row) == {"messages", "tools"}
    status, said = funreason("show", out, "--rejected")
    assert status == 0


@pytest.mark.parametrize("command", ["explore", "doctor", "synthesize", "export", "verify", "show"])
def test_each_command_explains_itself(funreason, command):
    status, said = funreason(command, "--help")
    assert status == 0
    assert "Usage: funreason" in said


def test_help_is_quick_and_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['funreason', '--help']\n"
        "from funreason_agents.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'langgraph', 'langchain_core', 'networkx', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)\n"
    )
    began = os.times().children_user
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert os.times().children_user - began < 1.0


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere.py:World", "no such file: 'nowhere.py'"),
        ("no.such.module:World", "cannot import 'no.such.module'"),
        (f"{KIOSK}:Kioks", "did you mean one of"),
        ("kiosk", "write path/to/file.py:Name or package.module:Name"),
        (f"{KIOSK}:NoTools", "no public method"),
        (f"{KIOSK}:NoHints", "what"),
        (f"{KIOSK}:Undumpable", "--allow-side-effects"),
        (f"{KIOSK}:OWNERS", "is neither a LangChain tool nor a function"),
    ],
)
def test_target_that_is_no_environment_is_told(funreason, tmp_path, target, message):
    status, said = funreason("synthesize", target, "--out", tmp_path / "run")
    assert status == 2
    assert message in " ".join(said.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "gpt-5"], "unknown model 'gpt-5'"),
        (["--model", "openai:gpt-x"], "OPENAI_API_KEY"),
        (["--match-mode", "loose"], "--match-mode: Input should be 'exact' or 'outcome'"),
        (["-n", "0"], "greater than or equal to 1"),
        (["--turns", "65"], "less than or equal to 64"),
        (["--wat"], "No such option"),
    ],
)
def test_option_that_cannot_be_used_is_told(
    funreason, kiosk, tmp_path, monkeypatch, options, message
):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    status, said = funreason("synthesize", f"{kiosk}:world", "--out", tmp_path / "run", *options)
    assert status == 2
    assert message in " ".join(said.replace("│", " ").split())
    assert not (tmp_path / "run").exists()


def test_world_without_state_works_where_side_effects_are_allowed(funreason, tmp_path):
    arguments = ["synthesize", f"{KIOSK}:Undumpable", "--out", tmp_path, "-n", 2, "--turns", 1]
    assert funreason(*arguments, "--allow-side-effects")[0] == 0
    assert funreason("verify", tmp_path)[0] == 2
    assert funreason("verify", tmp_path, "--allow-side-effects")[0] == 0
    assert funreason("show", tmp_path, "--rejected")[0] == 0


def test_directory_of_another_run_is_told(funreason, kiosk, made):
    status, said = funreason("synthesize", f"{kiosk}:world", "--out", made, "--seed", 9)
    assert (status, "holds another run" in said) == (2, True)


def test_directory_that_cannot_be_written_is_told(funreason, kiosk, tmp_path):
    (tmp_path / "file").write_text("")
    status, said = funreason("synthesize", f"{kiosk}:world", "--out", tmp_path / "file" / "run")
    assert (status, "choose another --out" in said) == (2, True)


def test_nothing_accepted_ends_with_one(funreason, kiosk, tmp_path):
    out = ("--out", tmp_path)
    arguments = ("-n", 2, "--turns", 1, "--model", "openai:m", "--base-url", "http://127.0.0.1:9")
    status, said = funreason("synthesize", f"{kiosk}:world", *out, *arguments)
    assert status == 1
    assert "0 of 2 trajectories accepted (0 rejected, 2 failed)" in said
    assert "ModelError" in said
    assert "Run the same line again" in said


def test_verify_finds_a_changed_record(funreason, made):
    path = made / "records.jsonl"
    path.write_text(path.read_text().replace("L-", "L-9", 1))
    status, said = funreason("verify", made)
    assert status == 1
    assert "record_id" in said


@pytest.mark.parametrize(
    ("name", "message"),
    [("changed", "tools of 'kiosk:Kiosk' have changed"), ("other", "is of 'kiosk:Kiosk', not")],
)
def test_verify_in_another_environment_is_no_verdict(funreason, made, kiosk, name, message):
    status, said = funreason("verify", made, "--environment", f"{kiosk}:{name}")
    assert (status, message.split()[0] in said) == (2, True)


def test_verify_without_the_environment_is_no_verdict(funreason, made):
    manifest = made / "run.json"
    said = json.loads(manifest.read_text()) | {"environment_target": "gone.py:World"}
    manifest.write_text(json.dumps(said))
    status, text = funreason("verify", made)
    assert (status, "cannot verify" in text) == (2, True)
    assert funreason("show", made, "--rejected")[0] == 0


def test_verify_of_nothing_is_no_success(funreason, made):
    (made / "records.jsonl").write_text("")
    assert funreason("verify", made)[0] == 1


@pytest.mark.parametrize("command", ["verify", "show", "export"])
def test_truncated_records_are_told_and_healed(funreason, kiosk, made, tmp_path, command):
    path = made / "records.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    last = whole.count(b"\n")
    options = ["--out", tmp_path / "rows"] if command == "export" else []
    status, said = funreason(command, made, *options)
    assert status == 2
    assert f"line {last}: not a whole record" in said
    line = ("synthesize", f"{kiosk}:world", "--out", made, "-n", 4, "--turns", 2, "--seed", 3)
    assert funreason(*line)[0] == 0
    assert path.read_bytes() == whole


def test_damaged_manifest_is_told(funreason, kiosk, made):
    (made / "run.json").write_text("{")
    for line in (("show", made), ("verify", made), ("show", made, "--rejected")):
        status, said = funreason(*line)
        assert (status, "cannot read" in said) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "DIR", "99"], "has records 0 to"),
        (["show", "DIR", "calls_match"], "add --rejected"),
        (["show", "nowhere"], "is it the directory of a run?"),
        (["show", "nowhere", "--rejected"], "is not the directory of a `funreason synthesize`"),
        (["verify", "nowhere"], "is it the directory of a run?"),
        (["export", "DIR", "--out", "DIR/run.json"], "cannot write"),
        (["export", "DIR", "--out", "DIR/x", "--format", "csv"], "unknown format 'csv'"),
        (["export", "DIR", "--out", "DIR/x", "--benchmark", "nowhere"], "nowhere"),
        (["explore", "nowhere.py:World"], "no such file"),
        (["doctor", "nowhere.py:World"], "no such file"),
    ],
)
def test_line_that_cannot_be_run_is_told(funreason, made, arguments, message):
    status, said = funreason(*(each.replace("DIR", str(made)) for each in arguments))
    assert status == 2
    assert message in said


def test_lines_are_not_wrapped_in_a_pipe(funreason, kiosk, tmp_path):
    out = tmp_path / ("long" * 30)
    _, said = funreason("synthesize", f"{kiosk}:world", "--out", out, "-n", 2, "--turns", 1)
    assert f"  records     {out / 'records.jsonl'}\n" in said
