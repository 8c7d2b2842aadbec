import json

import pytest

from funreason_agents.errors import TrainingError
from funreason_agents.training.config import FineTuneConfig
from funreason_agents.training.run_record import (
    hash_rows,
    read_run_record,
    require_same_run,
    to_curves,
    write_run_record,
)


@pytest.fixture
def config(tmp_path):
    return FineTuneConfig(model="tiny", output_dir=tmp_path, seed=3)


def test_a_record_holds_what_made_the_run(tmp_path, config):
    curves = {"loss": [(1, 2.0), (2, float("nan"))], "alpha": [(1, 0.7), (2, 0.71)]}
    write_run_record(tmp_path, config, "abc", {"speed": float("inf"), "steps": 2}, curves)
    record = read_run_record(tmp_path)
    assert record["status"] == "done"
    assert record["run"]["config"]["loss"] == "ssb"
    assert (record["run"]["seed"], record["run"]["data_hash"]) == (3, "abc")
    assert record["metrics"] == {"speed": None, "steps": 2}
    assert {"torch", "trl", "transformers", "funreason_agents"} <= record["versions"].keys()
    points = json.loads((tmp_path / "curves.json").read_text(encoding="utf-8"))
    assert points == {"loss": [[1, 2.0], [2, None]], "alpha": [[1, 0.7], [2, 0.71]]}
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_equal_curves_give_equal_pictures(tmp_path, config):
    for folder in ("one", "two"):
        write_run_record(tmp_path / folder, config, "", {}, {"loss": [(1, 2.0), (2, 1.0)]})
    one, two = ((tmp_path / f / "curves.png").read_bytes() for f in ("one", "two"))
    assert one == two


def test_the_same_run_may_lie_elsewhere_and_another_may_not_go_on(tmp_path, config):
    write_run_record(tmp_path, config, "abc", {}, {})
    record = read_run_record(tmp_path)
    moved = config.model_copy(update={"output_dir": tmp_path / "moved"})
    require_same_run(record, moved, "abc", tmp_path)
    with pytest.raises(TrainingError, match="batch_size: 4 there, 8 here"):
        require_same_run(record, config.model_copy(update={"batch_size": 8}), "abc", tmp_path)
    with pytest.raises(TrainingError, match="data_hash"):
        require_same_run(record, config, "abd", tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_damaged_records_are_said(tmp_path, text):
    (tmp_path / "run.json").write_text(text, encoding="utf-8")
    with pytest.raises(TrainingError, match=r"run\.json"):
        read_run_record(tmp_path)


def test_no_record(tmp_path):
    assert read_run_record(tmp_path) is None


def test_hash_and_curves():
    assert hash_rows([{"a": 1}, {"b": 2}]) == hash_rows([{"a": 1}, {"b": 2}])
    assert hash_rows([{"a": 1}, {"b": 2}]) != hash_rows([{"b": 2}, {"a": 1}])
    history = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0, "alpha": 0.7}, {"x": 1}]
    wanted = {"loss": [(1, 2.0), (2, 1.0)], "alpha": [(2, 0.7)]}
    assert to_curves(history, ["loss", "alpha", "none"]) == wanted
