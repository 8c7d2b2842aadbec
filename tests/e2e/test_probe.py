"""From a student's failures to the next run, on the command line."""

import json
from collections import Counter
from pathlib import Path

import pytest

from funreason_agents import read_records
from funreason_agents.curriculum import read_profile

KIOSK = Path(__file__).parents[1] / "unit" / "runs" / "kiosk.py"
KINDS = ["--hard-turns", "irrelevance=0.4"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Without workers, so that a command line takes no second to start."""
    path = tmp_path_factory.mktemp("world") / "worlds.py"
    path.write_text(
        f"import sys\nsys.path.append({str(KIOSK.parent)!r})\n"
        "from kiosk import Kiosk\nfrom funreason_agents import Environment\n"
        "world = Environment.from_class(Kiosk)\n"
        "other = Environment.from_class(Kiosk, id='other')\n"
    )
    return path


@pytest.fixture
def profile(funreason, world, tmp_path):
    out = tmp_path / "profile.json"
    status, said = funreason(
        "probe", f"{world}:world", "--model", "offline", "--out", out,
        "-k", 2, "--num-tasks", 12, *KINDS,
    )  # fmt: skip
    assert status == 0, said
    return out, said


def test_probe_prints_and_writes_what_the_student_can_do(profile):
    out, said = profile
    written = read_profile(out)
    assert (written.overall.tasks, written.overall.attempts) == (12, 24)
    assert set(written.kinds) == {"plain", "irrelevance"}
    assert f"offline passes {written.overall.passed} of 24 attempts" in said
    for words in ("pass@1", "pass@2", "empty_locker", "irrelevance", "--curriculum"):
        assert words in said
    assert [path.name for path in out.parent.iterdir()] == ["profile.json"]


def test_run_heads_for_what_the_profile_says(funreason, world, profile, tmp_path):
    out, _ = profile
    content = json.loads(out.read_text())
    failed = {"tasks": 9, "attempts": 18, "passed": 0, "pass_at": [0.0, 0.0]}
    mastered = {**failed, "passed": 18, "pass_at": [1.0, 1.0]}
    content["tools"] = {name: {**mastered} for name in content["tools"]}
    content["tools"]["empty_locker"] = failed
    out.write_text(json.dumps(content))
    run = tmp_path / "run"
    line = ("synthesize", f"{world}:world", "--out", run, "-n", 12, "--turns", 2)
    status, said = funreason(*line, "--curriculum", out)
    assert status == 0, said
    context = json.loads((run / "run.json").read_text())["run"]["context"]
    profile = read_profile(out)
    assert context["target_weights"] == profile.weights()["tools"]
    share = profile.weights()["kinds"]["irrelevance"]
    assert context["hard_turns"] == {"irrelevance": share}
    targets = Counter(name for each in read_records(run) for name in each.provenance.targets)
    assert targets["empty_locker"] > targets["find_locker"] + targets["open_locker"]
    status, said = funreason(*line, "--curriculum", out)
    assert status == 0  # it goes on, with nothing left to do
    status, said = funreason(*line)
    assert (status, "holds another run" in said) == (2, True)


def test_shares_that_the_user_gives_go_before_the_profile(funreason, world, profile, tmp_path):
    out, run = profile[0], tmp_path / "run"
    line = ("synthesize", f"{world}:world", "--out", run, "-n", 1, "--turns", 1)
    funreason(*line, "--curriculum", out, "--hard-turns", "irrelevance=0.25")
    context = json.loads((run / "run.json").read_text())["run"]["context"]
    assert context["hard_turns"] == {"irrelevance": 0.25}


def test_profile_of_another_environment_is_refused(funreason, world, profile, tmp_path):
    status, said = funreason(
        "synthesize", f"{world}:other", "--out", tmp_path / "run", "--curriculum", profile[0]
    )
    assert (status, "not of 'other'" in said) == (2, True)
    assert not (tmp_path / "run").exists()


def test_turns_of_a_run_are_tasks_too(funreason, world, tmp_path):
    run, out = tmp_path / "run", tmp_path / "profile.json"
    funreason("synthesize", f"{world}:world", "--out", run, "-n", 4, "--turns", 2, *KINDS)
    line = ("probe", f"{world}:world", "--model", "offline", "--out", out, "--records", run)
    status, said = funreason(*line, "-k", 1)
    assert status == 0, said
    turns = sum(len(record.certificate.turns) for record in read_records(run))
    assert read_profile(out).overall.tasks == turns
    status, said = funreason("probe", f"{world}:other", *line[2:])
    assert (status, "probe with records of this environment" in said) == (2, True)


@pytest.mark.parametrize("place", [".", "..", "made", "missing/.."])
def test_profile_that_would_be_a_directory_is_refused_before_anything_is_asked(
    funreason, world, tmp_path, monkeypatch, place
):
    monkeypatch.chdir(tmp_path)
    Path("made").mkdir()
    status, said = funreason("probe", f"{world}:world", "--model", "offline", "--out", place)
    assert (status, said.count("\n")) == (2, 1)
    assert "is a directory; name a file, such as" in said
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_file_of_an_earlier_profile_is_replaced(funreason, world, tmp_path):
    out = tmp_path / "new" / "profile.json"
    out.parent.mkdir()
    out.write_text("old")
    line = ("probe", f"{world}:world", "--model", "offline", "--out", out, "-k", 1)
    assert funreason(*line, "--num-tasks", 2)[0] == 0
    assert read_profile(out).overall.tasks == 2


def test_probe_explains_itself(funreason):
    status, said = funreason("probe", "--help")
    assert (status, "Usage: funreason" in said) == (0, True)
