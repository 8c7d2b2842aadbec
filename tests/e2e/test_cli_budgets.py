"""Limits, prices and the dry run, as `funreason synthesize` has them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

KIOSK = f"{Path(__file__).parents[1] / 'unit' / 'runs' / 'kiosk.py'}:Kiosk"


def synthesize(out, *options):
    line = ("synthesize", KIOSK, "--out", out, "-n", 4, "--turns", 1, *options)
    command = [sys.executable, "-m", "funreason_agents.cli", *map(str, line)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)


def read_ledger(out):
    return [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def unlimited(tmp_path_factory):
    out = tmp_path_factory.mktemp("unlimited")
    assert synthesize(out).returncode == 0
    return (out / "records.jsonl").read_bytes()


def test_limit_stops_the_line_and_a_higher_one_finishes_it(unlimited, tmp_path):
    stopped = synthesize(tmp_path, "--max-calls", 6)
    assert stopped.returncode == 1
    assert "Stopped: max_calls of 6 reached" in stopped.stdout
    assert len(read_ledger(tmp_path)) == 6
    manifest = json.loads((tmp_path / "run.json").read_text())
    assert manifest["status"] == "stopped"
    assert manifest["cost"]["total"]["calls"] == 6
    finished = synthesize(tmp_path, "--max-calls", 1000)
    assert finished.returncode == 0
    assert "Per accepted trajectory:" in finished.stdout
    assert (tmp_path / "records.jsonl").read_bytes() == unlimited


def test_ledger_holds_neither_what_was_said_nor_values(tmp_path):
    synthesize(tmp_path)
    lines = read_ledger(tmp_path)
    assert {line["role"] for line in lines} >= {"tooling", "querying", "reasoning"}
    fields = {"thread", "role", "node", "model", "input", "output", "total", "estimated", "usd",
              "seconds", "outcome", "answered", "attempts"}  # fmt: skip
    assert all(set(line) == fields for line in lines)


def test_dry_run_estimates_and_leaves_nothing(tmp_path):
    prices = tmp_path / "prices.toml"
    prices.write_text('["big"]\ninput = 1000.0\noutput = 1000.0\n')
    out = tmp_path / "out"
    model = ("--model", "openai:big", "--base-url", "http://127.0.0.1:9/v1", "--prices", prices)
    said = synthesize(out, *model, "--dry-run")
    assert said.returncode == 0
    assert "About what 4 trajectories would take" in said.stdout
    assert "4 trajectories made with the offline model" in said.stdout
    tokens = int(said.stdout.split("tokens  ")[1].split()[0])
    money = float(said.stdout.split("money   ")[1].split()[0])
    assert money == pytest.approx(tokens / 1000)
    assert not out.exists()


def test_dry_run_goes_by_the_ledger_where_there_is_one(tmp_path):
    synthesize(tmp_path)
    before = (tmp_path / "ledger.jsonl").read_bytes()
    said = synthesize(tmp_path, "-n", 8, "--dry-run")
    assert "About what 4 trajectories would take" in said.stdout
    assert f"the {len(read_ledger(tmp_path))} calls for 4 trajectories" in said.stdout
    assert (tmp_path / "ledger.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--max-usd", 1, "--model", "openai:m", "--base-url", "http://127.0.0.1:9"), "--prices"),
        (("--max-tokens", 0), "--max-tokens: Input should be greater than or equal to 1"),
        (("--prices", "none.toml"), "cannot read the prices"),
    ],
)
def test_line_that_cannot_hold_is_refused_before_any_call(tmp_path, options, said):
    refused = synthesize(tmp_path / "out", *options)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert not (tmp_path / "out").exists()
