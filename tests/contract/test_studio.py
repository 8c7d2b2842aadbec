import json
import os
import subprocess
import sys

import pytest
from sources import ROOT

from funreason_agents import SynthesisContext
from funreason_agents.errors import ConfigurationError
from funreason_agents.studio import _parts, build_graph

CONFIG = json.loads((ROOT / "langgraph.json").read_text(encoding="utf-8"))
NAMES = ("data_refiner", "environment_explorer", "query_writer", "reasoner_critic", "supervisor")

TINY = "tests/graphs/lockers.py:Lockers"

LOAD = """
import importlib.util, json, subprocess, sys

def refuse(*args, **kwargs):
    raise AssertionError("a graph that is only drawn starts no worker")

subprocess.Popen.__init__ = refuse
drawings = {}
for name, entry in json.load(open("langgraph.json"))["graphs"].items():
    path, _, attribute = entry["path"].rpartition(":")
    spec = importlib.util.spec_from_file_location(f"__graphs__{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    graph = getattr(module, attribute)
    assert graph.checkpointer is None
    assert graph.name == name
    graph.get_input_jsonschema(), graph.get_context_jsonschema()
    drawings[name] = graph.get_graph(xray=True).draw_mermaid()
print(json.dumps(drawings))
"""


@pytest.fixture
def settings(monkeypatch):
    def set_variables(**variables):
        for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(f"FUNREASON_{name.upper()}", value)
        monkeypatch.setenv("FUNREASON_ENVIRONMENT", variables.get("environment", TINY))
        _parts.cache_clear()

    yield set_variables
    _parts.cache_clear()


def test_config_names_the_graphs_and_their_files():
    assert sorted(CONFIG["graphs"]) == sorted(NAMES)
    for name, entry in CONFIG["graphs"].items():
        assert entry["path"] == f"./graphs/{name}.py:graph"
        assert entry["description"]
        lines = (ROOT / "graphs" / f"{name}.py").read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 10


def test_targets_load_and_draw_without_key_worker_or_session():
    keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        cwd=ROOT, env={**keep, "FUNREASON_MODEL": "openai:gpt-5-mini"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    drawings = json.loads(done.stdout)
    assert set(drawings) == set(NAMES)
    assert "write_query" in drawings["supervisor"]


def test_missing_key_is_the_error_of_the_run_that_needs_it(settings):
    settings(model="openai:gpt-5-mini")
    trace = build_graph("environment_explorer").invoke({})["call_trace"]
    with pytest.raises(ConfigurationError, match="needs OPENAI_API_KEY"):
        build_graph("query_writer").invoke({"call_trace": trace})


def test_wrong_environment_is_the_error_of_the_run(settings):
    settings(environment="tools/nowhere.py:Nothing")
    with pytest.raises(ConfigurationError, match=r"no such file: 'tools/nowhere\.py'"):
        build_graph("environment_explorer").invoke({})


def test_relative_environment_is_found_from_any_directory(settings, monkeypatch, tmp_path):
    settings()
    monkeypatch.chdir(tmp_path)
    assert build_graph("supervisor").invoke({}, context=SynthesisContext(turns=1))["trajectory"]


def test_unknown_graph_is_named(settings):
    settings()
    with pytest.raises(ConfigurationError, match="there is no graph 'superviser'"):
        build_graph("superviser")


def test_env_example_names_no_secret():
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    assert "# OPENAI_API_KEY=" in lines
