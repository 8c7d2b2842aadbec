"""A whole run against a provider in trouble. FUNREASON_FAULTS=200x32 makes it the large one."""

import contextlib
import importlib.util
import json
import os
import threading
from pathlib import Path

import pytest

from funreason_agents import SynthesisContext, load_environment, synthesize
from funreason_agents.models.client import Retries
from funreason_agents.models.ledger import Limits
from funreason_agents.models.openai_compatible import OpenAICompatibleModel
from funreason_agents.verification.replay import verify_record

TESTS = Path(__file__).parents[1]
NUMBER, THREADS = map(int, os.environ.get("FUNREASON_FAULTS", "24x8").split("x"))
FEW = max(4, NUMBER // 4)
RETRIES = Retries(attempts=10, first=0.005, longest=0.05)
OUTCOMES = {"TransientModelError", "PermanentModelError", "ModelOutputError"}


def load_faults():
    path = TESTS / "servers" / "faults.py"
    spec = importlib.util.spec_from_file_location("faults", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


faults = load_faults()
# What is left of LangChain's and LangGraph's own threads and files is there after the first run.
ENVIRONMENT = load_environment(f"{TESTS / 'unit' / 'runs' / 'kiosk.py'}:Kiosk", isolated=False)


@contextlib.contextmanager
def nothing_left():
    """Assert that no thread and no socket is left."""
    threads = set(threading.enumerate())
    sockets = find_sockets()
    yield
    for thread in set(threading.enumerate()) - threads:
        thread.join(10)
    assert set(threading.enumerate()) <= threads
    assert len(find_sockets() - sockets) == 0


def find_sockets():
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    return {each for each in found if each.startswith("socket:")}


def run_with(server, out, number=NUMBER, **options):
    model = OpenAICompatibleModel(
        model="small", base_url=server.base_url, api_key="k", max_retries=0, timeout=2
    )
    options = {"context": SynthesisContext(turns=2), "retries": RETRIES, **options}
    return synthesize(
        environment=ENVIRONMENT,
        num_trajectories=number,
        out=out,
        model=model,
        seed=3,
        max_concurrency=THREADS,
        **options,
    )


def records_of(run):
    return run.directory.records.read_bytes()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The records of runs that nothing disturbed, by the number of trajectories."""
    found = {}
    with faults.serve_faults() as server:
        for number in {FEW, NUMBER}:
            run = run_with(server, tmp_path_factory.mktemp("undisturbed"), number)
            assert run.accepted == number
            found[number] = records_of(run)
    return found


@pytest.mark.parametrize("fault", faults.TRANSPORT)
def test_transport_fault_leaves_no_trace_in_the_records(undisturbed, tmp_path, fault):
    with nothing_left(), faults.serve_faults([fault]) as server:
        run = run_with(server, tmp_path, FEW)
    assert server.injected[fault] > 0
    assert run.failed == 0
    assert records_of(run) == undisturbed[FEW]


def test_all_transport_faults_at_once_leave_no_trace_in_the_records(undisturbed, tmp_path):
    with nothing_left(), faults.serve_faults(faults.TRANSPORT) as server:
        run = run_with(server, tmp_path)
    assert set(server.injected) >= set(faults.TRANSPORT[:1])
    assert run.failed == run.rejected == 0
    assert records_of(run) == undisturbed[NUMBER]
    assert run.cost["total"]["requests"] == server.requests


def assert_only_what_is_right(run):
    assert run.statistics.ended == run.statistics.planned
    assert set(run.statistics.errors) <= OUTCOMES
    for record in run.records():
        assert verify_record(record, ENVIRONMENT).problems == ()


@pytest.mark.parametrize("fault", faults.CONTENT)
def test_content_fault_lets_nothing_wrong_through(tmp_path, fault):
    with nothing_left(), faults.serve_faults([fault]) as server:
        run = run_with(server, tmp_path, FEW)
    assert server.injected[fault] > 0
    assert run.failed == 0
    assert run.accepted > 0
    assert_only_what_is_right(run)


def test_all_faults_at_once_let_nothing_wrong_through(tmp_path):
    with nothing_left(), faults.serve_faults(faults.TRANSPORT + faults.CONTENT) as server:
        run = run_with(server, tmp_path)
    assert sum(server.injected.values()) > server.requests / 10
    assert run.failed == 0
    assert_only_what_is_right(run)


def test_same_content_faults_give_the_same_records(tmp_path):
    made = []
    for name in ("one", "two"):
        with faults.serve_faults(faults.CONTENT) as server:
            made.append(records_of(run_with(server, tmp_path / name, FEW)))
    assert made[0] == made[1]


@pytest.mark.parametrize("fault", faults.PERMANENT)
def test_permanent_trouble_stops_the_run_and_the_same_line_goes_on(undisturbed, tmp_path, fault):
    with nothing_left(), faults.serve_faults([fault], rate=1.0) as server:
        server.after = 10
        run = run_with(server, tmp_path)
        assert run.stopped_early
        assert server.requests <= server.after + 2 * THREADS
        assert set(run.statistics.errors) == {"PermanentModelError"}
        assert json.loads(run.directory.manifest.read_text())["status"] == "stopped"
        server.faults = ()
        assert records_of(run_with(server, tmp_path)) == undisturbed[NUMBER]


def test_server_without_schemas_and_tools_is_asked_in_words(tmp_path):
    with faults.serve_faults() as server:
        server.accepts_schema = server.accepts_tools = False
        run = run_with(server, tmp_path, FEW)
    outcomes = [json.loads(line) for line in run.directory.ledger.read_text().splitlines()]
    refused = [line for line in outcomes if line["outcome"] == "PermanentModelError"]
    assert run.failed == 0
    assert {line["role"] for line in refused} >= {"tooling", "querying", "reasoning"}
    assert len(refused) < len(outcomes) / 2


@pytest.mark.parametrize(
    "limits",
    [
        Limits(max_tokens=20_000),
        Limits(max_usd=0.02),
        Limits(max_calls=40),
    ],
    ids=lambda limits: next(iter(limits.model_fields_set)),
)
def test_limit_of_the_run_holds_and_a_higher_one_finishes_it(undisturbed, tmp_path, limits):
    prices = {"small": {"input": 1.0, "output": 1.0}}
    (name,) = limits.model_fields_set
    with nothing_left(), faults.serve_faults() as server:
        run = run_with(server, tmp_path, limits=limits, prices=prices)
        assert run.stopped_early.startswith(name)
        assert run.failed == 0
        spent = run.cost["total"][name.removeprefix("max_")]
        largest = max(
            json.loads(line)[{"max_tokens": "total", "max_usd": "usd"}.get(name, "attempts")]
            for line in run.directory.ledger.read_text().splitlines()
        )
        assert spent <= getattr(limits, name) + (THREADS * largest if name != "max_calls" else 0)
        again = run_with(server, tmp_path, prices=prices)
    assert again.stopped_early is None
    assert again.cost["total"]["calls"] > run.cost["total"]["calls"]
    assert records_of(again) == undisturbed[NUMBER]


def test_deadline_stops_the_run_and_the_same_line_without_it_finishes(undisturbed, tmp_path):
    with nothing_left(), faults.serve_faults() as server:
        run = run_with(server, tmp_path, limits=Limits(deadline=0.2))
        assert run.stopped_early.startswith("deadline of 0.2 seconds passed")
        assert run.failed == 0
        assert records_of(run_with(server, tmp_path)) == undisturbed[NUMBER]


def test_limit_of_a_trajectory_fails_it_and_a_higher_one_makes_it(undisturbed, tmp_path):
    with nothing_left(), faults.serve_faults() as server:
        run = run_with(server, tmp_path, FEW, limits=Limits(trajectory_max_calls=8))
        assert set(run.statistics.errors) == {"BudgetExceededError"}
        assert all("trajectory_max_calls of 8" in each.message for each in run.statistics.failures)
        again = run_with(server, tmp_path, FEW, limits=Limits(trajectory_max_calls=100))
    assert again.failed == 0
    assert records_of(again) == undisturbed[FEW]
