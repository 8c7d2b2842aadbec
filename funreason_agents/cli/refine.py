"""`funreason refine`: refine rows in a directory of its own, and go on where it stopped."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from rich.markup import escape
from rich.table import Table

from funreason_agents.cli.console import console
from funreason_agents.errors import ConfigurationError, TrainingError
from funreason_agents.export.formats import to_trl_step_rows
from funreason_agents.export.writer import read_records, to_lines, write_text
from funreason_agents.graphs.data_refiner import Train, create_data_refiner
from funreason_agents.models.client import CallScope, ModelClient
from funreason_agents.models.factory import ModelLike, load_model, model_id
from funreason_agents.models.ledger import Ledger, Limits
from funreason_agents.models.offline import OfflineChatModel
from funreason_agents.refinement.agents import Answer, make_student
from funreason_agents.refinement.counts import apply_outcomes
from funreason_agents.refinement.options import RefinementContext
from funreason_agents.refinement.rows import read_rows, to_step_rows
from funreason_agents.refinement.stages import Mode
from funreason_agents.run_directory import RunDirectory
from funreason_agents.schemas.base import content_hash
from funreason_agents.training.rows import find_file

Json = dict[str, Any]
ROWS, REPORT = "rows.jsonl", "refinement.json"
FILES = {
    "kept.jsonl": ("saved", "qualified", "recovered"),
    "hard.jsonl": ("hard",),
    "dropped.jsonl": ("dropped",),
}
"""The file of the rows of each outcome."""
AT_ONCE = 32
"""Most answers that the student is asked for at once."""


def refine_data(
    data: str | Path,
    *,
    out: str | Path,
    mode: Mode = "fcdr",
    model: ModelLike = "offline",
    base_url: str | None = None,
    student: ModelLike | None = None,
    answer: Answer | None = None,
    train: Train | None = None,
    judges: Sequence[ModelLike] | None = None,
    context: RefinementContext | None = None,
    limits: Limits | None = None,
) -> Json:
    """Refine rows, go on with a run that was stopped, and print the counts.

    `out` gets `kept.jsonl`, `hard.jsonl` and `dropped.jsonl` (each row of the data is in one of
    them), and `refinement.json` with the counts by check.

    Args:
        data: Directory of a run or of an export, or a file: records, or JSON lines or a JSON list
            of rows with `prompt`, `completion` and `tools`, or with `messages` and `tools`.
        out: Directory of this refinement alone.
        mode: `fcdr`, `split`, `hdr` or `egpo`.
        model: Judges and answers anew; offline, code alone decides.
        base_url: Address of an OpenAI-compatible server, for all models here.
        student: HDR: the chat model that answers hard rows.
        answer: HDR: the student as a function, in place of `student`.
        train: HDR: retrains the student on each round's new rows.
        judges: HDR: judges that must agree.
        context: Knobs.
        limits: Of the model calls.

    Returns:
        What `refinement.json` holds.

    Raises:
        ConfigurationError: the data cannot be read or are empty, HDR has no student, a student or
            judge is the offline model, or `out` holds another run.
        ExportError: `out` cannot be written.
    """
    knobs, place = context or RefinementContext(), RunDirectory(out)
    ledger = Ledger(limits=limits) if limits else Ledger()
    loaded = load_model(model, base_url=base_url)
    examiners = [load_model(each, base_url=base_url) for each in judges or ()]
    asked_student = None if student is None else load_model(student, base_url=base_url)
    _require_models(mode, asked_student, answer, examiners)
    if answer is None and asked_student is not None:
        answer = _student(asked_student, ledger)
    text, found = _read_data(Path(data))
    identity = {
        "data_hash": found,
        "mode": mode,
        "model": model_id(loaded),
        "student": None if asked_student is None else model_id(asked_student),
        "judges": [model_id(each) for each in examiners],
        "context": knobs.model_dump(mode="json"),
    }
    with place.claim(identity):
        place.write_manifest({"run": identity, "status": "running"})
        copy = place.path / ROWS
        if not copy.exists():  # the run's own, which nobody changes while it lasts
            write_text(copy, text)
        graph_parts: dict[str, Any] = {"answer": answer, "train": train, "judges": examiners}
        with place.open_checkpointer() as saver:
            graph = create_data_refiner(
                model=loaded, ledger=ledger, checkpointer=saver, **graph_parts
            )
            thread = str(uuid.UUID(content_hash(identity, 32)))
            config: Any = {"configurable": {"thread_id": thread}}
            begun = bool(graph.get_state(config).values)
            asked = None if begun else {"data": str(copy), "mode": mode}
            state = graph.invoke(asked, config, context=knobs)
            if not state:  # it had ended before
                state = graph.get_state(config).values
        report = _write_results(place, copy, state, identity)
    _print(report, place.path)
    return report


def _require_models(
    mode: Mode,
    student: BaseChatModel | None,
    answer: Answer | None,
    judges: Sequence[BaseChatModel],
) -> None:
    """Refuse what would go through all rounds and decide nothing."""
    if mode == "hdr" and student is None and answer is None:
        msg = "--mode hdr needs the model that answers the hard rows: pass --student openai:NAME"
        raise ConfigurationError(msg)
    if isinstance(student, OfflineChatModel):
        msg = (
            "--student offline: the offline model answers the package's own prompts only, no "
            "rows; pass --student openai:NAME"
        )
        raise ConfigurationError(msg)
    if any(isinstance(each, OfflineChatModel) for each in judges):
        msg = (
            "--judge offline: the offline model cannot judge answers; pass --judge openai:NAME, "
            "or no --judge: then the gates alone decide"
        )
        raise ConfigurationError(msg)


def _student(model: BaseChatModel, ledger: Ledger) -> Answer:
    """Return a student that is asked for the answers of a batch all at once."""
    client = ModelClient("student", model, model_id=model_id(model), ledger=ledger)
    ask = make_student(client, CallScope(thread_id="", node="answer_hard"))

    def answer(rows: Sequence[Json], samples: int) -> list[list[Json]]:
        each_once = [row for row in rows for _ in range(samples)]
        executor = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="student")
        try:
            found = list(executor.map(lambda row: list(ask([row], 1)[0]), each_once))
        except BaseException as exc:
            ledger.stopping.set()  # nothing waits any longer to be sent again
            executor.shutdown(wait=isinstance(exc, Exception), cancel_futures=True)
            raise
        executor.shutdown()
        return [
            [message for made in found[first : first + samples] for message in made]
            for first in range(0, len(found), samples)
        ]

    return answer


def _read_data(data: Path) -> tuple[str, str]:
    """Return the step rows of a file as JSON lines, and their hash."""
    try:
        file = find_file(data)
    except TrainingError as exc:
        raise ConfigurationError(str(exc)) from exc
    rows: Sequence[Json]
    if _holds_records(file):
        rows = [row for each in read_records(file) for row in to_trl_step_rows(each)]
    elif (listed := _read_list(file)) is not None:
        rows = [row for each in listed for row in to_step_rows(each)]
    else:
        rows, _ = read_rows(file)
    if not rows:
        msg = f"{str(file)!r} holds no rows; give a file of JSON lines with at least one"
        raise ConfigurationError(msg)
    return to_lines(rows), content_hash(rows)


def _holds_records(file: Path) -> bool:
    try:
        with file.open(encoding="utf-8") as lines:
            first = json.loads(next(lines, ""))
    except (OSError, ValueError):
        return False  # whoever reads it says what is wrong with it
    return isinstance(first, dict) and "certificate" in first


def _read_list(file: Path) -> list[Json] | None:
    """Return what a file lists that is one JSON list; None if it is none, but JSON lines."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None  # whoever reads it says what is wrong with it
    if not text.lstrip().startswith("["):
        return None
    try:
        listed: list[Json] = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as exc:
        msg = f"{str(file)!r}: not JSON ({exc}); repair it"
        raise ConfigurationError(msg) from exc
    for number, each in enumerate(listed, start=1):
        if not isinstance(each, dict):
            msg = f"{str(file)!r}, row {number}: no JSON object; a row is an object"
            raise ConfigurationError(msg)
    return listed


def _refuse_constant(name: str) -> None:
    msg = f"{name} is no JSON value"
    raise ValueError(msg)


def _write_results(place: RunDirectory, copy: Path, state: Json, identity: Json) -> Json:
    rows, _ = read_rows(copy)
    files = {}
    for name, outcomes in FILES.items():
        members = apply_outcomes(rows, state["outcomes"], outcomes)
        write_text(place.path / name, to_lines(members))
        files[name] = len(members)
    report = {"run": identity, "counts": state["counts"], "files": files}
    write_text(place.path / REPORT, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    place.write_manifest({"run": identity, "status": "finished"})
    return report


_CHECKS = {
    "0": "0 row",
    "1": "1 response",
    "2": "2 query and tool",
    "3": "3 reasoning",
    "4": "4 function and parameters",
    "5": "5 format",
    "none": "passed all",
}


def _print(report: Json, place: Path) -> None:
    counts = report["counts"]
    outcomes = list(counts["outcomes"])
    table = Table("first caught by", *outcomes, title="Refinement", title_justify="left")
    for stage, found in counts["stages"].items():
        table.add_row(_CHECKS.get(stage, stage), *(str(found.get(name, 0)) for name in outcomes))
    table.add_row("all", *(str(counts["outcomes"][name]) for name in outcomes))
    console.print(table)
    for name, count in counts["problems"].items():
        console.print(f"  {count:>6}  {escape(name)}")
    if counts["repaired"]:
        made = ", ".join(f"{count} by {who}" for who, count in counts["repaired"].items())
        console.print(f"Answers repaired: {made}.")
    for each in counts["rounds"]:
        console.print(
            f"Round {each['round']}: {each['asked']} hard rows asked, {each['answers']} answers, "
            f"{each['passed_gates']} through the gates, {each['kept']} kept."
        )
    for name, number in report["files"].items():
        console.print(f"  {number:>6} rows  {place / name}")
    console.print(f"  counts       {place / REPORT}")
