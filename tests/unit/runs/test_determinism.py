import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from run_tools import make_kiosk, make_run, read_lines

from funreason_agents import SynthesisContext
from funreason_agents.models.offline import OfflineChatModel

HERE = Path(__file__).parent
IN_ANOTHER_PROCESS = """
import sys
from run_tools import make_run
make_run(sys.argv[1], 8, max_concurrency=3)
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    out = tmp_path_factory.mktemp("alone")
    make_run(out, 8, max_concurrency=1)
    return out


def test_records_do_not_depend_on_concurrency(alone, tmp_path):
    make_run(tmp_path, 8, max_concurrency=8)
    assert len(read_lines(alone / "records.jsonl")) >= 5
    assert (tmp_path / "records.jsonl").read_bytes() == (alone / "records.jsonl").read_bytes()


class Unhurried(OfflineChatModel):
    """Lets all other trajectories have their turn meanwhile."""

    def _generate(self, *args, **kwargs):
        time.sleep(0.02)
        return super()._generate(*args, **kwargs)


def test_sessions_of_all_trajectories_in_flight_are_kept(tmp_path, monkeypatch):
    """Else each would be opened anew, and all its calls executed again, at every step."""
    monkeypatch.setattr("funreason_agents.environments.sessions.IDLE", 1)
    opened = []

    def run(number, max_concurrency):
        environment = make_kiosk()
        usual, opened[:] = environment.open_backend, []
        environment.open_backend = lambda seed: (opened.append(seed), usual(seed))[1]
        out = tmp_path / str(max_concurrency)
        options = {"model": Unhurried(), "environment": environment}
        make_run(out, number, max_concurrency=max_concurrency, **options)
        return len(opened)

    assert run(12, 12) <= run(12, 1)


def test_what_differs_between_equal_runs_is_in_provenance_keyed_by_record(alone, tmp_path):
    make_run(tmp_path, 8, max_concurrency=8)
    ids = [row["id"] for row in read_lines(tmp_path / "records.jsonl")]
    ours, theirs = (read_lines(out / "provenance.jsonl") for out in (tmp_path, alone))
    assert [row["record_id"] for row in ours] == ids
    assert [row["record_id"] for row in theirs] == ids
    assert ours != theirs


def test_trajectory_depends_on_seed_and_index_alone(alone, tmp_path):
    make_run(tmp_path, 4)
    few, many = (read_lines(out / "records.jsonl") for out in (tmp_path, alone))
    assert few == [row for row in many if row["provenance"]["index"] < 4]


def test_larger_number_adds_to_a_run(alone, tmp_path):
    make_run(tmp_path, 3)
    make_run(tmp_path, 8)
    assert (tmp_path / "records.jsonl").read_bytes() == (alone / "records.jsonl").read_bytes()


def test_records_do_not_depend_on_the_hash_seed(alone, tmp_path):
    environ = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": str(HERE)}
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, str(tmp_path)]
    subprocess.run(command, check=True, env=environ, timeout=60)
    assert (tmp_path / "records.jsonl").read_bytes() == (alone / "records.jsonl").read_bytes()


def test_other_seed_makes_other_records(alone, tmp_path):
    make_run(tmp_path, 4, seed=4)
    ids = {row["id"] for row in read_lines(tmp_path / "records.jsonl")}
    assert ids.isdisjoint(row["id"] for row in read_lines(alone / "records.jsonl"))


def test_equal_calls_are_kept_once_in_index_order_and_counted(tmp_path, alone):
    run = make_run(tmp_path, 24, context=SynthesisContext(turns=1))
    rows = read_lines(tmp_path / "records.jsonl")
    calls = [
        str([call for message in row["messages"] for call in message["tool_calls"]]) for row in rows
    ]
    indices = [row["provenance"]["index"] for row in rows]
    assert len(set(calls)) == len(calls)
    assert indices == sorted(set(indices))
    assert run.accepted > run.statistics.records == len(rows)
