"""`funreason review`: a person answers what a run waits for, in the terminal or by a file."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.panel import Panel

from funreason_agents.cli.console import console
from funreason_agents.cli.run import INTERRUPTED, finish, terminable
from funreason_agents.cli.settings import read_options
from funreason_agents.config import SynthesisContext
from funreason_agents.environments.base import Environment
from funreason_agents.errors import ConfigurationError
from funreason_agents.graphs.review import read_decision
from funreason_agents.models.ledger import Limits
from funreason_agents.run_directory import RunDirectory
from funreason_agents.run_job import Reviewer
from funreason_agents.schemas.review import ReviewDecision, ReviewedCall, ReviewRequest
from funreason_agents.synthesis import synthesize

SHORTCUTS = {"a": "accept", "eq": "edit_query", "ec": "edit_call", "er": "edit_reply"}
SHORTCUTS |= {"r": "reject", "s": "skip", "q": "quit"}
LONGEST = 2000
"""Characters of a text that are shown."""


def review_run(
    directory: Path,
    *,
    load: Callable[[str], Environment],
    target: str | None,
    decisions: Path | None,
    limit: int | None,
    model: str | None,
    role_models: dict[str, str],
    base_url: str | None,
    prices: Path | None,
    max_concurrency: int,
    limits: dict[str, Any],
) -> int:
    """Finish a run that waits for a person: what is left of it is run, and each request answered.

    What is not said here is taken from the run's manifest.

    Args:
        directory: Directory of the run.
        load: From a name to the environment.
        target: Name of the environment; None takes it from the manifest.
        decisions: File with a decision on each line; None asks in the terminal.
        limit: Most requests that are answered; None answers all.
        model: Model string, where the run was not offline.
        role_models: Model string by role, where roles had models of their own.
        base_url: Address of an OpenAI-compatible server.
        prices: File of prices, for a limit in money.
        max_concurrency: Threads that run at once until all wait or have ended.
        limits: Limits that take the place of those in the manifest.

    Returns:
        The exit status, as `funreason review --help` tells it.

    Raises:
        ConfigurationError: the directory is no run, the file holds something else, or a model
            or the environment has to be named.
        FunReasonError: the run cannot be gone on with.
    """
    manifest = RunDirectory(directory).read_manifest()
    if manifest is None:
        msg = f"{str(directory)!r} is not the directory of a `funreason synthesize` run"
        raise ConfigurationError(msg)
    script = None if decisions is None else Script(decisions)
    name = target or manifest.get("environment_target")
    if not name:
        msg = "run.json does not name the environment; pass --environment path/to/file.py:Name"
        raise ConfigurationError(msg)
    chosen = model or _find_model(manifest, role_models)
    budget = read_options(Limits, _find_limits(manifest, limits))
    with terminable(), console.status("Working on what does not wait for you ...") as status:

        def ask(index: int, request: ReviewRequest) -> ReviewDecision | None:
            status.stop()
            decision = (script or person)(index, request)
            status.start()
            return decision

        person = Person()
        run = synthesize(
            environment=load(str(name)),
            num_trajectories=manifest["num_trajectories"],
            out=directory,
            model=chosen,
            models=role_models,
            seed=manifest["run"]["seed"],
            context=SynthesisContext.model_validate(manifest["run"]["context"]),
            max_concurrency=max_concurrency,
            base_url=base_url,
            target=str(name),
            limits=budget,
            prices=prices,
            reviewer=_at_most(limit, ask),
        )
    if script is not None and script.left:
        console.print(f"[yellow]{script.left} decisions of the file were not asked for.[/]")
    status_code = finish(run)
    return INTERRUPTED if person.interrupted else status_code


def _find_model(manifest: dict[str, Any], role_models: dict[str, str]) -> str:
    models = manifest["run"]["models"]
    ids = {each for role, each in models.items() if role not in role_models}
    if ids <= {"offline"}:
        return "offline"
    msg = (
        f"this run was made with {', '.join(sorted(ids))}: pass the same --model, --role-model and "
        "--base-url as to `funreason synthesize`"
    )
    raise ConfigurationError(msg)


def _find_limits(manifest: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Take the run's limits, but no deadline: a person needs the time it takes."""
    held = manifest.get("cost", {}).get("limits", {})
    kept = {name: value for name, value in held.items() if not name.endswith("deadline")}
    return kept | {name: value for name, value in given.items() if value is not None}


def _at_most(limit: int | None, reviewer: Reviewer) -> Reviewer:
    left = limit

    def ask(index: int, request: ReviewRequest) -> ReviewDecision | None:
        nonlocal left
        if left is not None:
            left -= 1
            if left < 0:
                return None
        return reviewer(index, request)

    return ask


class Script:
    """Decisions from a file, each for the next request, or the next one of its `index`."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            ConfigurationError: it cannot be read, or a line is no decision.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as exc:
            msg = f"--decisions: cannot read {str(path)!r}: {exc}"
            raise ConfigurationError(msg) from exc
        self._left = [
            _read_line(line, f"{str(path)!r}, line {number}")
            for number, line in enumerate(lines, 1)
            if line.strip()
        ]

    @property
    def left(self) -> int:
        """Decisions that nothing has asked for so far."""
        return len(self._left)

    def __call__(self, index: int, request: ReviewRequest) -> ReviewDecision | None:
        """Return the first decision left that may be for this trajectory."""
        for reason in request.refused:
            console.print(f"trajectory {index}, turn {request.turn + 1}: refused: {escape(reason)}")
        for number, (wanted, decision) in enumerate(self._left):
            if wanted in (None, index):
                del self._left[number]
                return decision
        return None


def _read_line(line: str, where: str) -> tuple[int | None, ReviewDecision]:
    try:
        fields = _load_json(line)
    except ValueError as exc:
        msg = f"--decisions: {where}: no JSON: {exc}"
        raise ConfigurationError(msg) from exc
    index = fields.pop("index", None) if isinstance(fields, dict) else None
    decision = read_decision(fields)
    if isinstance(decision, list):
        msg = f"--decisions: {where}: {'; '.join(decision)}"
        raise ConfigurationError(msg)
    if index is not None and (not isinstance(index, int) or isinstance(index, bool)):
        msg = f"--decisions: {where}: index: it is no whole number: {index!r}"
        raise ConfigurationError(msg)
    return index, decision


def _load_json(text: str) -> Any:
    def refuse(name: str) -> None:
        msg = f"{name} is no JSON"
        raise ValueError(msg)

    return json.loads(text, parse_constant=refuse)


@dataclass
class Person:
    """Shows each request in the terminal, and asks until there is a decision."""

    gone: bool = False
    """They have had enough: everything else goes on waiting."""
    interrupted: bool = False
    """They pressed Ctrl-C."""
    shown: tuple[int, ReviewRequest] | None = None
    """What they last saw."""

    def __call__(self, index: int, request: ReviewRequest) -> ReviewDecision | None:
        """Ask about one request; None leaves it waiting."""
        if self.gone:
            return None
        # A run only counts Ctrl-C, so that nothing is torn; here nothing is being written.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            shown = index, request.model_copy(update={"refused": ()})
            if shown != self.shown:  # else the answer was refused, and nothing has changed
                _show(*shown)
                self.shown = shown
            for reason in request.refused:
                console.print(f"[red]refused[/] {escape(_shorten(reason))}")
            return self._ask(request)
        except (EOFError, KeyboardInterrupt) as exc:
            self.gone, self.interrupted = True, isinstance(exc, KeyboardInterrupt)
            console.print()
            return None
        finally:
            signal.signal(signal.SIGINT, before)

    def _ask(self, request: ReviewRequest) -> ReviewDecision | None:
        possible = {*request.actions, "skip", "quit"}
        offered = {key: name for key, name in SHORTCUTS.items() if name in possible}
        menu = "  ".join(f"{key} {name.replace('_', ' ')}" for key, name in offered.items())
        while True:
            answer = _read(f"{menu}\n> ").lower().replace(" ", "_")
            action = offered.get(answer, answer)
            if action in ("skip", "quit"):
                self.gone = action == "quit"
                return None
            if action not in possible:
                console.print(f"[red]Answer one of: {', '.join(offered)}.[/]")
                continue
            fields = _ask_fields(action, request)
            if fields is None:
                continue
            decision = read_decision({"action": action, **fields})
            if not isinstance(decision, list):
                return decision
            console.print(f"[red]{escape('; '.join(decision))}[/]")


def _ask_fields(action: str, request: ReviewRequest) -> dict[str, Any] | None:
    """Return what an action needs; None if it was typed wrong, or nothing was."""
    if action == "accept":
        return {}
    if action == "edit_call":
        return _ask_call(request)
    name, prompt = {
        "edit_query": ("query", "New query"),
        "edit_reply": ("reply", "New reply"),
        "reject": ("reason", "Why"),
    }[action]
    text = _read(f"{prompt} (nothing: go back): ")
    return {name: text} if text else None


def _ask_call(request: ReviewRequest) -> dict[str, Any] | None:
    last = len(request.calls) - 1
    if last < 0:
        console.print("[red]There is no call in this turn.[/]")
        return None
    typed = _read(f"Which call, 0 to {last}: ") if last else "0"
    if not typed.isdecimal() or int(typed) > last:
        console.print(f"[red]{escape(repr(typed))} is no number from 0 to {last}.[/]")
        return None
    call = request.calls[int(typed)]
    console.print(f"now: {escape(_to_text(call.arguments))}")
    text = _read("All arguments, as JSON (nothing: go back): ")
    if not text:
        return None
    try:
        arguments = _load_json(text)
    except ValueError as exc:
        console.print(f"[red]That is no JSON: {escape(str(exc))}.[/] Text takes double quotes.")
        return None
    if not isinstance(arguments, dict):
        console.print('[red]Arguments are a JSON object, such as {"name": "value"}.[/]')
        return None
    return {"call": int(typed), "arguments": arguments}


def _read(prompt: str) -> str:
    return input(prompt).strip()


def _show(index: int, request: ReviewRequest) -> None:
    kind = "" if request.kind == "plain" else f", {request.kind.replace('_', ' ')}"
    console.rule(
        f"trajectory {index}, turn {request.turn + 1}{kind}: review of the {request.point}"
    )
    for number, text in enumerate(request.before):
        who = "assistant" if number % 2 else "user"
        console.print(f"[dim]{who}: {escape(_shorten(text))}[/]")
    query = escape(_shorten(request.query))
    if request.filler_chars:
        query += f"\n[dim](and {request.filler_chars} characters of unrelated text, which stay)[/]"
    console.print(Panel(query, title="user", title_align="left"), soft_wrap=False)
    if request.calls:
        console.print("gold calls:" if request.point == "query" else "calls:")
    for number, call in enumerate(request.calls):
        _show_call(number, call)
    if request.reply:
        reply = escape(_shorten(request.reply))
        console.print(Panel(reply, title="assistant", title_align="left"), soft_wrap=False)
    if request.then:
        console.print(f"then the user: {escape(_shorten(request.then))}")
    if request.edits:
        console.print(f"[green]Edited so far: {len(request.edits)}; all checks passed.[/]")


def _show_call(number: int, call: ReviewedCall) -> None:
    console.print(f"  {number}  [cyan]{call.name}[/]({escape(_to_text(call.arguments))})")
    mark = "[red]refused[/]" if call.is_error else "[dim]result[/]"
    console.print(f"     {mark}  {escape(_shorten(_to_text(call.result)))}")


def _to_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ... ({len(text)} characters)"
