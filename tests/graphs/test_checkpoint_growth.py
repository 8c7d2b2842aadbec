import importlib.util
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "checkpoint_growth.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("checkpoint_growth", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_bytes_per_turn_hardly_grow_with_the_trajectory(benchmark, environment):
    row = {turns: benchmark.measure_turns(environment, turns, 2) for turns in (2, 16)}
    assert row[2]["accepted"] == row[16]["accepted"] == 2
    assert row[16]["total_kb"] <= 1.5 * row[2]["total_kb"]
    assert row[16]["file_kb"] <= 1.5 * row[2]["file_kb"]
    assert row[2]["total_kb"] < 100
