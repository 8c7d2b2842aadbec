"""Have a student solve turns a few times each, without any hint, and count what it fails at."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage

from funreason_agents.config import SynthesisContext
from funreason_agents.curriculum.journal import Journal
from funreason_agents.curriculum.profile import Outcome, StudentProfile, make_profile
from funreason_agents.curriculum.tasks import ProbeTask, make_tasks, tasks_of_record
from funreason_agents.environments.base import Environment
from funreason_agents.environments.sessions import SessionPool, sessions_for
from funreason_agents.errors import ConfigurationError
from funreason_agents.export.writer import read_records
from funreason_agents.graphs.attempts import (
    Scene,
    advance_samples,
    begin_samples,
    judge_attempt,
    to_attempt,
)
from funreason_agents.models.client import CallScope, ModelClient, Retries
from funreason_agents.models.factory import ModelLike, load_model, model_id
from funreason_agents.models.ledger import Ledger
from funreason_agents.models.offline import OfflineChatModel
from funreason_agents.prompts import render_prompt
from funreason_agents.schemas.base import content_hash
from funreason_agents.schemas.record import TrainingRecord
from funreason_agents.schemas.trajectory import Attempt, Verdict
from funreason_agents.seeding import rng

FRESH = 100
"""Fresh tasks that are made unless another number is asked for."""
MOST = 32
"""Most attempts per task."""

Progress = Callable[[int, int], None]
"""Called with how many tasks are done, of how many."""


def probe_student(
    environment: Environment,
    *,
    model: ModelLike,
    base_url: str | None = None,
    tasks: str | Path | Sequence[TrainingRecord] | None = None,
    k: int = 4,
    num_tasks: int | None = None,
    seed: int = 0,
    context: SynthesisContext | None = None,
    max_concurrency: int = 4,
    instructions: str | None = None,
    retries: Retries | None = None,
    journal: str | Path | None = None,
    progress: Progress | None = None,
) -> StudentProfile:
    """Have a student solve each of a number of turn tasks `k` times, and score it.

    It acts in live sessions, and the verifier decides, as in a run; but it is measured as it will
    be used: it sees the conversation and the tools, no hint and no critique. A turn of several
    steps is solved step by step; the turns before it are as in the record, whatever the student
    would have said there.

    Args:
        environment: Where the student acts.
        model: The student: a chat model or model string, sampled at its own temperature.
        base_url: Address of an OpenAI-compatible server that serves it.
        tasks: Records, or the file or directory that holds them, whose turns are the tasks; None
            makes fresh ones with the offline model.
        k: Attempts per task, 1 to 32.
        num_tasks: How many tasks; None means all turns of the records, or 100 fresh tasks.
        seed: Seed of fresh tasks, and of the draw among the turns of records.
        context: Knobs of fresh tasks, such as `hard_turns`.
        max_concurrency: Tasks that are solved at once, each with its `k` attempts at once.
        instructions: System message that the student is used with; none by default, as in the
            rows that it is trained on.
        retries: How provider trouble is waited out.
        journal: File to which each outcome goes at once. With it, the same line goes on where it
            was stopped.
        progress: Called whenever a task is done.

    Raises:
        ConfigurationError: an argument is out of bounds, there are no tasks, the records are of
            another environment, the model cannot be loaded, or the journal is of another probe.
        ExportError: the records cannot be read, or the journal not be written.
        ModelError: the provider refused, or could not answer however often it was asked.
        EnvError: the environment broke.
    """
    _require_bounds(k, num_tasks, max_concurrency)
    chat_model = load_model(model, base_url=base_url)
    pool = SessionPool(environment, max_idle=sessions_for(max_concurrency * k))
    ledger = Ledger()
    student = _Student(
        "reasoning", chat_model, model_id=model_id(chat_model), ledger=ledger, retries=retries
    )
    student.instructions = _find_instructions(chat_model, instructions)
    try:
        chosen = _choose_tasks(
            environment, pool, tasks, num_tasks, seed, context or SynthesisContext()
        )
        identity = {
            "environment": environment.id,
            "tools_hash": environment.tools_hash,
            "model": student.model_id,
            "attempts_per_task": k,
            "seed": seed,
            "instructions": instructions,
            "tasks": content_hash([[each.id, each.task.id, each.mode] for each in chosen]),
        }
        probe = _Probe(environment, student, pool, k)
        with Journal(journal, identity) as notes:
            outcomes = _solve_all(probe, chosen, ledger, max_concurrency, notes, progress)
    finally:
        pool.close()
    return make_profile(environment, outcomes, model=student.model_id, k=k, seed=seed)


def _require_bounds(k: int, num_tasks: int | None, max_concurrency: int) -> None:
    if not 1 <= k <= MOST:
        msg = f"k must be 1 to {MOST}, not {k}"
        raise ConfigurationError(msg)
    for name, number in (("num_tasks", num_tasks), ("max_concurrency", max_concurrency)):
        if number is not None and number < 1:
            msg = f"{name} must be at least 1, not {number}"
            raise ConfigurationError(msg)


class _Student(ModelClient):
    """Is told what it will be told when it is used, and none of the reasoner's notes."""

    instructions: tuple[SystemMessage, ...] = ()

    def act(
        self, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]], scope: CallScope
    ) -> AIMessage:
        chat = [message for message in messages if not isinstance(message, SystemMessage)]
        return super().act([*self.instructions, *chat], tools, scope)


def _find_instructions(model: BaseChatModel, given: str | None) -> tuple[SystemMessage, ...]:
    if isinstance(model, OfflineChatModel):  # it answers the package's own prompts only
        notes: dict[str, Any] = {
            "description": None,
            "composition": [],
            "parallel": False,
            "critiques": [],
        }
        return (SystemMessage(render_prompt("reasoning", notes=json.dumps(notes))),)
    return (SystemMessage(given),) if given else ()


def _choose_tasks(
    environment: Environment,
    pool: SessionPool,
    records: str | Path | Sequence[TrainingRecord] | None,
    wanted: int | None,
    seed: int,
    context: SynthesisContext,
) -> list[ProbeTask]:
    if records is None:
        made = make_tasks(environment, pool, context, seed=seed, count=wanted or FRESH)
        if not made:
            msg = f"no task could be made in {environment.id!r}; `funreason doctor` may tell why"
            raise ConfigurationError(msg)
        return made
    loaded = read_records(records) if isinstance(records, str | Path) else records
    found = [task for record in loaded for task in tasks_of_record(record, environment)]
    if not found:
        msg = "there are no records to take tasks from; make some, or leave the records out"
        raise ConfigurationError(msg)
    if wanted is None or wanted >= len(found):
        return found
    drawn = rng(seed, "probe").sample(range(len(found)), wanted)
    return [found[number] for number in sorted(drawn)]


@dataclass(frozen=True)
class _Probe:
    environment: Environment
    student: _Student
    pool: SessionPool
    k: int

    def solve(self, each: ProbeTask) -> Outcome:
        """Have one task attempted `k` times."""
        scene = Scene(
            environment=self.environment,
            client=self.student,
            pool=self.pool,
            task=each.task,
            conversation=each.conversation,
            critiques=(),
            scope=CallScope(thread_id=each.id, node="probe"),
        )
        samples = begin_samples(scene, self.k)
        while not all(sample["stop"] for sample in samples):
            samples = advance_samples(scene, samples)
        attempts = [to_attempt(sample, 1, number) for number, sample in enumerate(samples)]
        trace = each.task.trace
        return Outcome(
            task=each.id,
            target=trace.target,
            tools=tuple(dict.fromkeys(trace.tool_names)),
            kind=each.task.kind,
            failures=tuple(self._find_failure(attempt, each) for attempt in attempts),
        )

    def _find_failure(self, attempt: Attempt, each: ProbeTask) -> str | None:
        verdict: Verdict = judge_attempt(
            attempt, each.task, each.conversation, self.environment, self.pool, each.mode
        )
        if verdict.accepted:
            return None
        return f"{attempt.stop}: {attempt.trouble}" if attempt.trouble else verdict.failed[0]


def _solve_all(
    probe: _Probe,
    tasks: Sequence[ProbeTask],
    ledger: Ledger,
    max_concurrency: int,
    notes: Journal,
    progress: Progress | None,
) -> list[Outcome]:
    """Return the outcome of each task, in order, whichever was done first."""
    report = progress or (lambda _done, _all: None)
    done: dict[str, Outcome] = dict(notes.found)
    report(len(done), len(tasks))
    executor = ThreadPoolExecutor(max_concurrency, thread_name_prefix="probe")
    try:
        missing = [each for each in tasks if each.id not in done]
        for future in as_completed([executor.submit(probe.solve, each) for each in missing]):
            outcome = future.result()
            done[outcome.task] = outcome
            notes.add(outcome)
            report(len(done), len(tasks))
    except BaseException as exc:
        ledger.stopping.set()  # nothing waits any longer to be sent again
        executor.shutdown(wait=isinstance(exc, Exception), cancel_futures=True)
        raise
    executor.shutdown()
    return [done[each.id] for each in tasks]
