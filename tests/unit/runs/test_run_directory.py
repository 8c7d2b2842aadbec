import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from run_tools import make_run

from funreason_agents.errors import ConfigurationError, ExportError
from funreason_agents.models.offline import OfflineChatModel
from funreason_agents.run_directory import RunDirectory

HERE = Path(__file__).parent
FULL_DISK = """
import resource, sys
from run_tools import make_run
from funreason_agents.errors import ExportError
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    make_run(sys.argv[1], 8)
except ExportError as exc:
    print(exc)
    sys.exit(3)
"""


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "run"
    make_run(out, 4)
    return out


@pytest.fixture
def made(made_once, tmp_path):
    return shutil.copytree(made_once, tmp_path / "run")


def records(out):
    return (out / "records.jsonl").read_bytes()


def refuse(out, error, match, **options):
    before = records(out) if (out / "records.jsonl").exists() else None
    with pytest.raises(error, match=match):
        make_run(out, **options)
    if before is not None:
        assert records(out) == before


def test_directory_of_another_run_is_refused(made):
    refuse(made, ConfigurationError, "holds another run .seed: 3 there, 9 here", seed=9)


def test_directory_of_a_run_with_another_model_is_refused(made):
    model = OfflineChatModel(model_name="other")
    refuse(made, ConfigurationError, "holds another run .models", model=model)


def test_fewer_trajectories_than_before_are_refused(made):
    refuse(made, ConfigurationError, "of 4 trajectories; 2 would drop some", n=2)


@pytest.mark.parametrize("options", [{"n": 0}, {"max_concurrency": 0}])
def test_nothing_to_do_is_refused(tmp_path, options):
    refuse(tmp_path, ConfigurationError, "must be at least 1", **options)


def test_directory_in_use_is_refused(tmp_path):
    directory = RunDirectory(tmp_path)
    with (
        directory.claim({"seed": 1}),
        pytest.raises(ConfigurationError, match="another process is working on"),
        RunDirectory(tmp_path).claim({"seed": 1}),
    ):
        raise AssertionError


def test_path_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="choose another --out"):
        make_run(tmp_path / "file" / "run")


@pytest.mark.parametrize("text", ["{", "[]", '{"status": "finished"}', "\x00\x01"])
def test_damaged_manifest_is_refused(made, text):
    (made / "run.json").write_text(text)
    refuse(made, ExportError, "cannot read .*run.json")


def test_files_of_something_else_are_refused(tmp_path):
    (tmp_path / "records.jsonl").write_text("precious\n")
    refuse(tmp_path, ConfigurationError, "holds files but no run.json")


def test_run_killed_before_its_first_checkpoint_can_go_on(made, tmp_path):
    """The manifest comes first, so whatever is in the directory has an owner."""
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "run.json").write_bytes((made / "run.json").read_bytes())
    (tmp_path / "begun" / ".run.json.x1").write_text("half of a manif")
    make_run(tmp_path / "begun", 4)
    assert records(tmp_path / "begun") == records(made)
    assert not (tmp_path / "begun" / ".run.json.x1").exists()


def damage(path, how):
    data = path.read_bytes()
    if how == "random":
        path.write_bytes(random.Random(1).randbytes(len(data)))
    elif how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "gone":
        path.unlink()
    else:
        path.unlink()
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE invoices (id)")
        connection.close()


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ("random", "no checkpoint database. records.jsonl is untouched"),
        ("cut", "damaged"),
        ("empty", "checkpoints are gone"),
        ("gone", "checkpoints are gone"),
        ("foreign", "database of something else .tables: .'invoices'"),
    ],
)
def test_damaged_database_costs_no_record_and_the_advice_works(made, how, match):
    before = records(made)
    database = made / "checkpoints.sqlite"
    damage(database, how)
    refuse(made, (ExportError, ConfigurationError), match, n=4)
    database.unlink(missing_ok=True)
    (made / "records.jsonl").rename(made / "kept.jsonl")
    make_run(made, 4)
    assert records(made) == before


def test_half_a_record_is_healed_by_the_same_line(made):
    before = records(made)
    (made / "records.jsonl").write_bytes(before[:-500])
    make_run(made, 4)
    assert records(made) == before


@pytest.mark.parametrize("kilobytes", [4, 40, 200])
def test_full_disk_is_told_and_healed(made, tmp_path, kilobytes):
    """4 kB stop the database at once, 40 kB the records or the database, 200 kB on the way."""
    out = tmp_path / "full"
    environ = {**os.environ, "PYTHONPATH": str(HERE)}
    command = [sys.executable, "-c", FULL_DISK, str(out), str(kilobytes * 1000)]
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 3, done.stderr
    assert "run the same line again" in done.stdout
    if (out / "records.jsonl").exists():
        for line in (out / "records.jsonl").read_text().splitlines():
            json.loads(line)
    make_run(out, 8)
    assert records(out).startswith(records(made))


def test_failing_run_says_failed(made, monkeypatch):
    from funreason_agents.record_log import RecordLog

    def fail(self, *_):
        raise ExportError("full")

    monkeypatch.setattr(RecordLog, "add", fail)
    with pytest.raises(ExportError, match="full"):
        make_run(made, 6)
    assert json.loads((made / "run.json").read_text())["status"] == "failed"


def test_changed_tools_are_another_run(made):
    from kiosk import Raises

    from funreason_agents import Environment

    refuse(
        made,
        ConfigurationError,
        "tools_hash",
        environment=Environment.from_class(Raises, id="kiosk:Kiosk"),
    )


def test_signals_are_as_before_after_a_run(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    make_run(tmp_path, 1)
    assert signal.getsignal(signal.SIGINT) is before


def test_interrupt_by_the_caller_is_noted_and_costs_nothing(made, tmp_path):
    def stop(statistics):
        if statistics.ended == 2:
            raise KeyboardInterrupt

    out = tmp_path / "stopped"
    run = make_run(out, 4, progress=stop)
    assert run.interrupted
    assert json.loads((out / "run.json").read_text())["status"] == "interrupted"
    make_run(out, 4)
    assert records(out) == records(made)


def test_interrupt_while_catching_up_leaves_the_old_records(made):
    def stop(_statistics):
        signal.raise_signal(signal.SIGINT)

    before = records(made)
    assert make_run(made, 4, progress=stop).interrupted
    assert records(made) == before
