import json

import pytest
from kiosk import Raises, ReturnsNoJson
from run_tools import (
    KIOSK,
    BreakingModel,
    first_query,
    indices_of,
    make_run,
    read_lines,
)

from funreason_agents import Environment, load_environment
from funreason_agents.errors import ConfigurationError
from funreason_agents.models.client import ModelClient

REVOKED = {"error": ConfigurationError}  # not tried again, so the tests need not wait


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    make_run(out, 8)
    assert len(indices_of(out)) >= 5
    return out


def records(out):
    return (out / "records.jsonl").read_bytes()


def test_failed_trajectories_are_made_when_the_provider_is_back(undisturbed, tmp_path):
    gone = indices_of(undisturbed)[1:4:2]
    model = BreakingModel(cues=tuple(first_query(undisturbed, index) for index in gone))
    run = make_run(tmp_path, 8, model=model)
    assert run.failed == len(gone)
    assert run.statistics.errors == {"TransientModelError": len(gone)}
    assert {failure.index for failure in run.statistics.failures} == set(gone)
    assert indices_of(tmp_path) == [i for i in indices_of(undisturbed) if i not in gone]
    assert make_run(tmp_path, 8).failed == 0
    assert records(tmp_path) == records(undisturbed)


def test_provider_that_is_down_stops_the_run_early(tmp_path):
    run = make_run(tmp_path, 40, model=BreakingModel(cues=("",), **REVOKED))
    assert run.stopped_early
    assert "trajectories failed: ConfigurationError: the provider is down" in run.stopped_early
    assert run.failed < 20
    manifest = json.loads((tmp_path / "run.json").read_text())
    assert manifest["status"] == "stopped"
    assert manifest["stopped_early"] == run.stopped_early


def test_provider_that_goes_down_later_costs_no_record(undisturbed, tmp_path):
    make_run(tmp_path, 8)
    before = records(tmp_path)
    run = make_run(tmp_path, 40, model=BreakingModel(cues=("",), **REVOKED))
    assert run.stopped_early
    assert run.statistics.records == len(indices_of(undisturbed))
    assert records(tmp_path) == before


def test_error_that_is_none_of_ours_fails_its_trajectory_only(undisturbed, tmp_path, monkeypatch):
    gone = indices_of(undisturbed)[0]
    query = first_query(undisturbed, gone)
    whole = ModelClient.act

    def fail(client, messages, tools, scope):
        if any(query in str(message.content) for message in messages):
            raise KeyError("bug")
        return whole(client, messages, tools, scope)

    monkeypatch.setattr(ModelClient, "act", fail)
    run = make_run(tmp_path, 8)
    assert run.statistics.errors == {"KeyError": 1}
    assert indices_of(tmp_path) == [i for i in indices_of(undisturbed) if i != gone]


@pytest.mark.parametrize("name", ["Hangs", "Crashes"])
def test_tool_that_breaks_costs_its_trajectory_at_most(tmp_path, name):
    environment = load_environment(f"{KIOSK}:{name}", timeout=0.5)
    run = make_run(tmp_path, 6, environment=environment)
    assert run.statistics.ended == 6
    assert run.accepted >= 2
    assert set(run.statistics.errors) <= {"EnvError", "ToolTimeoutError"}


@pytest.mark.parametrize("world", [ReturnsNoJson, Raises])
def test_tool_that_breaks_in_process_costs_its_trajectory_at_most(tmp_path, world):
    run = make_run(tmp_path, 6, environment=Environment.from_class(world))
    assert run.statistics.ended == 6
    assert run.accepted >= 2


def test_nothing_accepted_leaves_empty_files(tmp_path):
    run = make_run(tmp_path, 2, model=BreakingModel(cues=("",), **REVOKED))
    assert (run.accepted, run.failed) == (0, 2)
    assert read_lines(tmp_path / "records.jsonl") == []
