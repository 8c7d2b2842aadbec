"""The runs: the whole pipeline on the real model, and each role alone on it."""

from __future__ import annotations

import json
import shutil
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_openai import ChatOpenAI

from benchmarks.live.recorder import Recorder, count_calls
from funreason_agents import SynthesisContext, load_environment, synthesize
from funreason_agents.run_statistics import RunStatistics

ROLES = ("tooling", "querying", "reasoning", "critiquing")
STEP = 4
"""Trajectories by which a run of one role grows until enough calls reached it."""
CRITIC_STEP = 20
CRITIC_ENVIRONMENT = "tools/workshop.py:open_workshop"
"""Of the bundled environments, where the offline reasoner errs most: else no critic is asked."""
CRITIC_KNOBS = {"turns": 3, "turn_attempts": 3, "extra_rate": 1.0}
LIMIT = 400
"""Trajectories after which such a run is given up."""
PROVIDER_TROUBLE = ("TransientModelError", "PermanentModelError", "ModelOutputError")
"""What a failure may be called. Other errors are nothing that a model or its server can cause: if
one stands here, the pipeline is at fault."""


@dataclass(frozen=True)
class Plan:
    """What is run, on what."""

    base_url: str
    model: str
    environment: str
    seed: int
    turns: int
    turn_attempts: int
    trajectories: int
    calls: int
    max_tokens: int
    temperature: float
    timeout: float
    concurrency: int
    out: Path

    def describe(self) -> dict[str, Any]:
        """Return what a reader of the results must know; nothing of this machine."""
        names = (
            "model", "seed", "max_tokens", "temperature", "timeout", "concurrency",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}


def run_named(plan: Plan, name: str) -> dict[str, Any]:
    """Take up or begin run `name` (`all` or a role) and return its outcome, a finished one too.

    Nothing escapes but Ctrl-C: a crash is an outcome, with its traceback.
    """
    folder = plan.out / name
    before = read_outcome(folder)
    if before.get("complete"):
        return before
    folder.mkdir(parents=True, exist_ok=True)
    environment, knobs = _stage(plan, name)
    outcome: dict[str, Any] = {
        "run": name, "environment": environment, "context": knobs, "complete": False
    }  # fmt: skip
    started, spent = time.monotonic(), float(before.get("seconds", 0.0))
    for number in _sizes(plan, name, _planned(folder)):
        try:
            outcome |= _extend(plan, name, number)
        except Exception:  # noqa: BLE001  # the other runs go on
            outcome["crash"] = traceback.format_exc()
        outcome["calls"] = count_calls(folder / "calls.jsonl")
        outcome["seconds"] = round(spent + time.monotonic() - started, 1)
        ended = bool(outcome.get("crash") or outcome.get("stopped_early"))
        outcome["complete"] = not outcome.get("interrupted") and not ended and _enough(
            plan, name, outcome
        )  # fmt: skip
        text = json.dumps(outcome, indent=2, ensure_ascii=False)
        (folder / "outcome.json").write_text(text + "\n", encoding="utf-8")
        if ended or outcome["complete"] or outcome.get("interrupted"):
            break
    return outcome


def forget(plan: Plan, name: str) -> None:
    """Remove what an earlier run `name` left."""
    shutil.rmtree(plan.out / name, ignore_errors=True)


def read_outcome(folder: Path) -> dict[str, Any]:
    """Return the outcome in `folder`; empty if there is none."""
    path = folder / "outcome.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _stage(plan: Plan, name: str) -> tuple[str, dict[str, Any]]:
    """Return the environment of a run, and its knobs."""
    if name == "critiquing":
        return CRITIC_ENVIRONMENT, CRITIC_KNOBS
    return plan.environment, {"turns": plan.turns, "turn_attempts": plan.turn_attempts}


def _planned(folder: Path) -> int:
    """Return how many trajectories the run in `folder` was last asked for."""
    path = folder / "run.json"
    if not path.exists():
        return 0
    return int(json.loads(path.read_text(encoding="utf-8"))["num_trajectories"])


def _sizes(plan: Plan, name: str, planned: int) -> Iterator[int]:
    """Yield how many trajectories to ask for, as often as there are not enough calls yet."""
    if name == "all":
        yield max(planned, plan.trajectories)
        return
    step = CRITIC_STEP if name == "critiquing" else STEP
    yield from range(max(planned, step), LIMIT + 1, step)


def _enough(plan: Plan, name: str, outcome: dict[str, Any]) -> bool:
    if name == "all":
        return bool(outcome["attempted"] >= plan.trajectories)
    reached = outcome["calls"].get(name, {}).get("calls", 0)
    return bool(reached >= plan.calls or outcome["attempted"] >= LIMIT)


def _extend(plan: Plan, name: str, number: int) -> dict[str, Any]:
    """Bring run `name` to `number` trajectories."""
    folder = plan.out / name
    environment, knobs = _stage(plan, name)

    def show(counts: RunStatistics) -> None:
        print(
            f"{name}: {counts.ended} of {counts.planned} trajectories ended, {counts.accepted} "
            f"accepted, {counts.rejected} rejected, {counts.failed} failed",
            flush=True,
        )

    run = synthesize(
        environment=load_environment(environment),
        num_trajectories=number,
        out=folder,
        models={role: _model(plan, role, folder) for role in ROLES if name in ("all", role)},
        seed=plan.seed,
        context=SynthesisContext(**knobs),
        max_concurrency=plan.concurrency,
        target=environment,
        progress=show,
    )
    counts = run.statistics
    kinds = dict(counts.errors)
    return {
        "attempted": counts.ended,
        "accepted": counts.accepted,
        "rejected": counts.rejected,
        "failed": counts.failed,
        "turns_accepted": counts.turns_accepted,
        "turns_rejected": counts.turns_rejected,
        "accepted_by_round": {str(number): n for number, n in sorted(counts.rounds.items())},
        "rejections": dict(counts.rejections.most_common()),
        "failures": kinds,
        "own_faults": {name: n for name, n in kinds.items() if name not in PROVIDER_TROUBLE},
        "failure_messages": sorted({f.message[:200] for f in counts.failures})[:5],
        "stopped_early": run.stopped_early,
        "interrupted": run.interrupted,
    }


def _model(plan: Plan, role: str, folder: Path) -> ChatOpenAI:
    # What hangs or repeats itself without end is bounded twice: by tokens and by seconds.
    return ChatOpenAI(
        model=plan.model,
        base_url=plan.base_url,
        api_key="not-needed",
        max_completion_tokens=plan.max_tokens,
        temperature=plan.temperature,
        timeout=plan.timeout,
        max_retries=0,
        callbacks=[Recorder(role, folder / "calls.jsonl")],
    )
