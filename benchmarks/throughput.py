"""Model calls per second and CPU time per call: the pipeline beside a bare `ChatOpenAI` loop.

    python benchmarks/throughput.py [--seconds 30] [--in-flight 1 16 64 128] [--delays 1 0.1]
    python benchmarks/throughput.py --in-flight 64 --delays 1 --rounds 5

Both send requests to the same server (`offline_server.py`), which answers after a given delay: a
first run of the pipeline is recorded, and threads of the loop send its messages and tools over and
over. The loop is what a user would write; the pipeline's own client is leaner. The pipeline is
`synthesize` with the bookstore in process and its SQLite checkpointer on.

Each run has processes of its own and is ended after some seconds; the first fifth is not
counted. Calls are counted by the server, a rate is the slope of the count over time. CPU time is
user and system time of the client's processes. With several rounds both take turns, and the
ratios are the medians of the rounds' own: a machine that others use too is not equally fast for
long. A superstep is one round of nodes in any of the
graphs, saved or not; entering a graph is none.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from statistics import linear_regression, median
from typing import Any
from urllib.request import urlopen

from langchain_core.messages import convert_to_messages
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver

from funreason_agents import SynthesisContext, create_supervisor, load_environment, synthesize

ROOT = Path(__file__).resolve().parents[1]
BOOKSTORE = f"{ROOT / 'tools' / 'bookstore.py'}:Bookstore"
SAMPLE_EVERY = 0.05
"""Seconds between two looks at the CPU time used."""
MANY = 100_000
"""Trajectories that are planned: more than any run gets to."""
EDGES = 0.2
"""Share of a run, at its beginning, that is not counted."""
Sample = tuple[float, float]
"""Time, and CPU seconds used until then."""


@contextmanager
def serve() -> Iterator[str]:
    """Run the server and yield its address."""
    command = [sys.executable, str(Path(__file__).with_name("offline_server.py"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def fetch(address: str) -> Any:
    """Return the JSON that a GET gives."""
    with urlopen(address) as answer:
        return json.load(answer)


@contextmanager
def sampled(seconds: float) -> Iterator[list[Sample]]:
    """Sample the CPU time of this process, and end what runs after `seconds` as Ctrl-C does."""
    samples: list[Sample] = []
    ended = threading.Event()

    def sample() -> None:
        until = time.monotonic() + seconds
        while not ended.wait(SAMPLE_EVERY) and time.monotonic() < until:
            samples.append((time.monotonic(), time.process_time()))
        if not ended.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


def count_supersteps(server: str, trajectories: int) -> dict[str, float]:
    """Return supersteps and model calls of some trajectories, with every checkpoint written."""
    saver = InMemorySaver()
    graph = create_supervisor(
        environment=load_environment(BOOKSTORE, isolated=False),
        model=ChatOpenAI(model="benchmark", base_url=f"{server}/0/v1", api_key="not-needed"),
        checkpointer=saver,
    )
    fetch(f"{server}/answers")
    for index in range(trajectories):
        thread = {"configurable": {"thread_id": str(index)}}
        graph.invoke({"index": index}, thread, context=SynthesisContext(turns=3), durability="sync")
    calls = len(fetch(f"{server}/answers"))
    # Up to step 0 a graph only takes its input in.
    steps = sum(each.metadata["step"] > 0 for each in saver.list(None))
    return {"trajectories": trajectories, "calls": calls, "supersteps_per_call": steps / calls}


def run_pipeline(url: str, in_flight: int, seconds: float, seed: int) -> dict[str, Any]:
    """Synthesize until `seconds` are over."""
    environment = load_environment(BOOKSTORE, isolated=False)
    with tempfile.TemporaryDirectory() as folder:
        with sampled(seconds) as samples:
            run = synthesize(
                environment=environment,
                num_trajectories=MANY,
                out=folder,
                model="openai:benchmark",
                base_url=url,
                seed=seed,
                context=SynthesisContext(turns=3),
                max_concurrency=in_flight,
            )
        connection = sqlite3.connect(run.directory.checkpoints)
        (checkpoints,) = connection.execute("SELECT count(*) FROM checkpoints").fetchone()
        connection.close()
    ended = {name: getattr(run, name) for name in ("accepted", "rejected", "failed")}
    return {"samples": samples, "checkpoints": checkpoints, **ended}


def run_loop(url: str, in_flight: int, seconds: float, seed: int) -> dict[str, Any]:
    """Send the recorded requests from as many threads until `seconds` are over."""
    model = ChatOpenAI(model="benchmark", base_url=url, api_key="not-needed", max_retries=0)
    asked = []
    for body in fetch(url.partition("//")[0] + "//" + url.split("/")[2] + "/requests"):
        bound = model.bind(tools=body["tools"]) if "tools" in body else model
        asked.append((bound, convert_to_messages(body["messages"])))
    numbers = itertools.count(seed)
    stopped = threading.Event()

    def loop() -> None:
        while not stopped.is_set():
            bound, messages = asked[next(numbers) % len(asked)]
            bound.invoke(messages)

    with sampled(seconds) as samples, ThreadPoolExecutor(in_flight) as threads:
        running = [threads.submit(loop) for _ in range(in_flight)]
        try:
            for each in running:
                each.result()
        except KeyboardInterrupt:
            stopped.set()
    return {"samples": samples}


def measure(
    run: Any, server: str, delay: float, in_flight: int, *, seconds: float, processes: int
) -> dict[str, float]:
    """Run `run` in `processes` processes that share `in_flight`, and return what it came to."""
    fetch(f"{server}/answers")
    url, share = f"{server}/{delay:g}/v1", max(in_flight // processes, 1)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        futures: list[Future[dict[str, Any]]] = [
            pool.submit(run, url, share, seconds, 1000 * number) for number in range(processes)
        ]
        results = [future.result() for future in futures]
    answers = fetch(f"{server}/answers")
    return summarise(answers, results)


def summarise(answers: Sequence[float], results: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return rate, CPU time per call and, of the pipeline, checkpoints per call."""
    last = min(result["samples"][-1][0] for result in results)
    first = answers[0] + EDGES * (last - answers[0])
    counted = [each for each in answers if first <= each <= last]
    rate = linear_regression(counted, range(len(counted))).slope
    used = 0.0
    for result in results:
        seconds = [seconds for moment, seconds in result["samples"] if first <= moment <= last]
        used += seconds[-1] - seconds[0]
    row = {"calls": len(counted), "calls_per_s": rate, "cpu_ms": 1000 * used / len(counted)}
    if "checkpoints" in results[0]:
        row["checkpoints"] = sum(r["checkpoints"] for r in results) / len(answers)
        row |= {n: sum(r[n] for r in results) for n in ("accepted", "rejected", "failed")}
    return row


def compare(
    server: str, delay: float, in_flight: int, *, rounds: int, seconds: float, processes: int
) -> dict[str, Any]:
    """Measure the loop and the pipeline in turn."""
    options: dict[str, Any] = {"seconds": seconds, "processes": processes}
    pairs = []
    for number in range(rounds):
        order = (run_loop, run_pipeline) if number % 2 == 0 else (run_pipeline, run_loop)
        found = {run: measure(run, server, delay, in_flight, **options) for run in order}
        pairs.append((found[run_loop], found[run_pipeline]))
    rates = [ours["calls_per_s"] / bare["calls_per_s"] for bare, ours in pairs]
    costs = [ours["cpu_ms"] / bare["cpu_ms"] for bare, ours in pairs]
    row = {
        "delay_s": delay,
        "in_flight": in_flight,
        "processes": processes,
        "bare": _middle([bare for bare, _ in pairs]),
        "pipeline": _middle([ours for _, ours in pairs]),
        "rate_ratio": round(median(rates), 3),
        "cpu_ratio": round(median(costs), 2),
    }
    if rounds > 1:
        row["rate_ratios"] = [round(each, 3) for each in rates]
        row["cpu_ratios"] = [round(each, 2) for each in costs]
    return row


def _middle(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(median(run[name] for run in runs), 3) for name in runs[0]}


COLUMNS = (
    f"{'answers':>8}{'in':>7}{'bare':>9}{'pipeline':>10}{'':>7}{'bare':>9}{'pipeline':>10}{'':>7}"
    f"{'checkpoints':>13}\n"
    f"{'after':>8}{'flight':>7}{'calls/s':>9}{'calls/s':>10}{'ratio':>7}{'CPU ms':>9}"
    f"{'CPU ms':>10}{'ratio':>7}{'per call':>13}"
)


def format_row(row: dict[str, Any]) -> str:
    """Return one line of the table."""
    bare, ours = row["bare"], row["pipeline"]
    return (
        f"{row['delay_s']:>6g} s{row['in_flight']:>7}{bare['calls_per_s']:>9.1f}"
        f"{ours['calls_per_s']:>10.1f}{row['rate_ratio']:>7.2f}{bare['cpu_ms']:>9.2f}"
        f"{ours['cpu_ms']:>10.2f}{row['cpu_ratio']:>7.2f}{ours['checkpoints']:>13.2f}"
    )


def main() -> None:
    """Measure, print the table, write the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each run")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 16, 64, 128])
    parser.add_argument("--delays", type=float, nargs="+", default=[1.0, 0.1])
    parser.add_argument("--rounds", type=int, default=1, help="times that both are run in turn")
    parser.add_argument("--processes", type=int, default=1, help="clients that share the load")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).with_name("results") / "throughput.json"
    )
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    with serve() as server:
        measure(run_pipeline, server, 0, 4, seconds=options.seconds, processes=1)  # is recorded
        supersteps = count_supersteps(server, 16)
        print(f"supersteps per model call: {supersteps['supersteps_per_call']:.2f}")
        print(COLUMNS)
        for delay, in_flight in itertools.product(options.delays, options.in_flight):
            row = compare(
                server,
                delay,
                in_flight,
                rounds=options.rounds,
                seconds=options.seconds,
                processes=options.processes,
            )
            print(format_row(row), flush=True)
            rows.append(row)
            result = {"seconds": options.seconds, "processors": os.cpu_count(), **supersteps}
            result["rows"] = rows
            options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
