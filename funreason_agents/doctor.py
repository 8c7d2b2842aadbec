"""Check that an environment is fit for verified data, by executing its tools.

Verified data needs a world that answers alike each time: the same seed and calls give the same
results and states, in another session, after a restore, later, and in another process.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from funreason_agents.environments.base import Environment, EnvSession
from funreason_agents.environments.execution import PlannedCall, execute_plan
from funreason_agents.environments.loader import load_environment
from funreason_agents.environments.worker import WorkerBackend, worker_variables
from funreason_agents.errors import EnvError, FunReasonError
from funreason_agents.schemas.base import Frozen, canonical_json, content_hash
from funreason_agents.schemas.tools import ToolCall, ToolResult
from funreason_agents.seeding import rng
from funreason_agents.tool_graph.arguments import Sources, sample_call
from funreason_agents.tool_graph.probe import Observations, probe
from funreason_agents.tool_graph.values import state_values

PAUSE = 1.1
"""Seconds between the first walk and its replay: enough for a clock that counts seconds."""
MAX_SHOWN = 5
"""Problems that one result names."""

_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class CheckResult(Frozen):
    """The outcome of one named check of an environment."""

    name: str
    passed: bool
    detail: str = ""
    """What is wrong, where something is."""


class EnvironmentReport(Frozen):
    """What `check_environment` found."""

    environment_id: str
    results: tuple[CheckResult, ...]
    warnings: tuple[str, ...] = ()
    """What does not spoil the data, but is worth a look."""
    nondeterministic: tuple[str, ...] = ()
    """Tools whose result or effect differed when the same calls were replayed."""

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(result.passed for result in self.results)

    def __str__(self) -> str:
        """Return the report as text, one line per check and warning."""
        verdict = "passed" if self.passed else "FAILED"
        lines = [f"{verdict}: environment {self.environment_id!r}"]
        for result in self.results:
            line = f"  {'ok  ' if result.passed else 'FAIL'}  {result.name}"
            lines.append(f"{line}: {result.detail}" if result.detail else line)
        lines += [f"  warning: {warning}" for warning in self.warnings]
        if self.nondeterministic:
            lines.append(f"  nondeterministic tools: {', '.join(self.nondeterministic)}")
        return "\n".join(lines)


def check_environment(
    environment_or_target: Environment | str, *, seeds: Sequence[int] = (0, 1)
) -> EnvironmentReport:
    """Check an environment by opening it and calling its tools for real.

    Of a target, workers with different hash seeds are compared too. A tool that never returns is
    found only where the environment is isolated.

    Args:
        environment_or_target: An environment, or what `load_environment` takes.
        seeds: Seeds to open it with.

    Returns:
        The report; `assert check_environment(...).passed` is a test.

    Raises:
        ConfigurationError: the target names no environment.
        EnvError: the target's environment cannot be loaded.
    """
    if not isinstance(environment_or_target, str):
        return _Checker(environment_or_target, None, seeds).check()
    with worker_variables(PYTHONHASHSEED="1"):
        environment = load_environment(environment_or_target)
    with worker_variables(PYTHONHASHSEED="2"):
        other = load_environment(environment_or_target)
    return _Checker(environment, other, seeds).check()


@dataclass(frozen=True)
class _Step:
    """What one call did."""

    tool: str
    content: Any
    is_error: bool
    state_hash: str


@dataclass(frozen=True)
class _Episode:
    """Calls in a fresh session, and what they did."""

    seed: int
    start: str
    calls: tuple[ToolCall, ...]
    steps: tuple[_Step, ...]


class _Checker:
    def __init__(
        self, environment: Environment, other: Environment | None, seeds: Sequence[int]
    ) -> None:
        self.environment = environment
        self.other = other
        self.seeds = tuple(seeds)
        self.results: list[CheckResult] = []
        self.warnings: list[str] = []
        self.nondeterministic: list[str] = []
        self.episodes: list[_Episode] = []
        self.broken: dict[str, str] = {}

    def check(self) -> EnvironmentReport:
        self._run("schemas", self._check_schemas)
        if self._run("opens", self._check_opens):
            self._run("same_seed", self._check_same_seed)
            self._run("unknown_tool", self._check_unknown_tool)
            self._run("invalid_arguments", self._check_invalid_arguments)
            self._run("separate_sessions", self._check_separate_sessions)
            recorded = time.monotonic()
            self._run("tools_work", self._check_tools_work)
            self._run("restore", self._check_restore)
            time.sleep(max(0.0, PAUSE - (time.monotonic() - recorded)))
            self._run("replay", lambda: self._check_replay(self.environment))
            self._check_other_process()
        return EnvironmentReport(
            environment_id=self.environment.id,
            results=tuple(self.results),
            warnings=tuple(self.warnings),
            nondeterministic=tuple(self.nondeterministic),
        )

    def _run(self, name: str, find_problems: Callable[[], Iterator[str]]) -> bool:
        problems: list[str] = []
        try:
            problems.extend(find_problems())
        except FunReasonError as exc:
            problems.append(str(exc))
        unique = list(dict.fromkeys(problems))
        more = [f"and {len(unique) - MAX_SHOWN} more"] if len(unique) > MAX_SHOWN else []
        detail = "; ".join(unique[:MAX_SHOWN] + more)
        self.results.append(CheckResult(name=name, passed=not problems, detail=detail))
        return not problems

    def _check_schemas(self) -> Iterator[str]:
        # That each is valid JSON Schema, `Environment` has made sure of.
        for tool in self.environment.tools:
            if not _TOOL_NAME.fullmatch(tool.name):
                yield f"tool name {tool.name!r}: models take letters, digits, _ and -, at most 64"
            if not tool.description:
                self.warnings.append(f"tool {tool.name!r} has no description")
            bare = [name for name, schema in tool.properties.items() if not _described(schema)]
            if bare:
                self.warnings.append(f"tool {tool.name!r}: no description of parameters {bare}")

    def _check_opens(self) -> Iterator[str]:
        states = [self._start_state(seed) for seed in self.seeds]
        if all(state is None for state in states):
            self.warnings.append("it has no state: what its tools change elsewhere is not seen")
        elif len(states) > 1 and len({content_hash(state) for state in states}) == 1:
            self.warnings.append(f"seeds {list(self.seeds)} all give the same state")
        yield from ()

    def _start_state(self, seed: int) -> Any:
        session = self.environment.open(seed)
        try:
            return session.state()
        finally:
            session.close()

    def _check_same_seed(self) -> Iterator[str]:
        for seed in self.seeds:
            if content_hash(self._start_state(seed)) != content_hash(self._start_state(seed)):
                yield f"seed {seed} gives another state each time; draw from random.Random(seed)"

    def _check_unknown_tool(self) -> Iterator[str]:
        session = self.environment.open(self.seeds[0])
        name = "no_such_tool_" + content_hash([tool.name for tool in self.environment.tools])
        yield from _refusal_problems(session, ToolCall(id="call_0", name=name))
        session.close()

    def _check_invalid_arguments(self) -> Iterator[str]:
        session = self.environment.open(self.seeds[0])
        for tool in self.environment.tools:
            for arguments in ({}, {"no_such_parameter": 0}, dict.fromkeys(tool.required)):
                call = ToolCall(id="call_0", name=tool.name, arguments=arguments)
                if self.environment.find_problem(call) is not None:
                    yield from _refusal_problems(session, call)
        session.close()

    def _check_separate_sessions(self) -> Iterator[str]:
        """Record the episodes, beside a session that must not notice them."""
        for seed in self.seeds:
            bystander = self.environment.open_backend(seed)
            try:
                before = content_hash(bystander.dump_state())
                for plan in self._find_plans(seed):
                    episode = self._record(seed, plan)
                    if episode.start != before:
                        yield "a fresh session starts in another state after others were used"
                    self.episodes.append(episode)
                if content_hash(bystander.dump_state()) != before:
                    yield "calls in one session changed the state of another"
            finally:
                bystander.close()

    def _find_plans(self, seed: int) -> list[list[PlannedCall]]:
        """Return for each tool the calls that make it succeed, or a guess where none was found."""
        try:
            seen = probe(self.environment, seeds=(seed,))
        except EnvError as exc:  # calls could not be undone: other checks tell why
            seen = Observations()
            self.warnings.append(f"seed {seed}: the tools were called with guesses only ({exc})")
        self.broken |= seen.broken
        known = state_values(self._start_state(seed))
        generator = rng("check_environment", self.environment.id, seed)
        plans: list[list[PlannedCall]] = []
        for tool in self.environment.tools:
            if tool.name in seen.recipes:
                plans.append(list(seen.recipes[tool.name][0].calls))
            elif tool.name not in self.broken:
                guess = sample_call(tool, Sources(known=known), generator)
                plans += [[guess]] if guess is not None else []
        return plans

    def _record(self, seed: int, plan: list[PlannedCall]) -> _Episode:
        """Execute `plan`, and its last call once more: that must have the same answer, too."""
        session = self.environment.open(seed)
        try:
            start = session.state_hash()
            done = execute_plan(session, plan)
            if done is not None:
                calls = tuple(each.call for each in done)
                steps = [_to_step(each.call, each.result, each.state_after) for each in done]
                steps += _execute(session, calls[-1:])
                return _Episode(seed, start, (*calls, calls[-1]), tuple(steps))
        except EnvError:
            pass  # played as it is, the plan shows it again
        finally:
            session.close()
        calls = tuple(ToolCall(id="call_0", name=p.name, arguments=p.arguments) for p in plan)
        return self._play(self.environment, seed, (*calls, calls[-1]))

    def _play(self, environment: Environment, seed: int, calls: tuple[ToolCall, ...]) -> _Episode:
        session = environment.open(seed)
        try:
            start = session.state_hash()
            return _Episode(seed, start, calls, tuple(_execute(session, calls)))
        finally:
            session.close()

    def _check_tools_work(self) -> Iterator[str]:
        steps = [step for episode in self.episodes for step in episode.steps]
        for name, reason in self.broken.items():
            yield f"{name} broke: {reason}"
        working = {step.tool for step in steps if not step.is_error}
        for tool in self.environment.tools:
            if tool.name in working or tool.name in self.broken:
                continue
            said = [str(step.content) for step in steps if step.tool == tool.name]
            self.warnings.append(
                f"no call of {tool.name!r} was found that succeeds"
                + (f"; it said {_shorten(said[-1])}" if said else "")
            )
        if not working:
            yield "no tool could be made to succeed"

    def _check_restore(self) -> Iterator[str]:
        """Go back to before the last call and its repetition, and do both again."""
        for seed in self.seeds:
            session = self.environment.open(seed)
            try:
                start = session.snapshot()
                for calls in [each.calls for each in self.episodes if each.seed == seed]:
                    _execute(session, calls[:-2])
                    before = session.snapshot()
                    expected = _execute(session, calls[-2:])
                    session.restore(before)
                    found = _find_difference(expected, _execute(session, calls[-2:]))
                    if found is not None:
                        yield f"after `restore`, {found[1]}"
                    session.restore(start)
            finally:
                session.close()

    def _check_replay(self, environment: Environment) -> Iterator[str]:
        for episode in self.episodes:
            again = self._play(environment, episode.seed, episode.calls)
            if again.start != episode.start:
                yield f"seed {episode.seed} gives another state"
                continue
            found = _find_difference(episode.steps, again.steps)
            if found is not None:
                tool, text = found
                if tool not in self.nondeterministic:
                    self.nondeterministic.append(tool)
                yield text

    def _check_other_process(self) -> None:
        if self.other is not None and _is_worker(self.other, self.seeds[0]):
            other = self.other
            self._run("other_process", lambda: self._check_replay(other))
        else:
            self.warnings.append(
                "only one process was looked at; pass 'path/file.py:Name' to compare two"
            )


def _described(schema: dict[str, Any]) -> bool:
    return bool(schema.get("description")) or "$ref" in schema or "const" in schema


def _is_worker(environment: Environment, seed: int) -> bool:
    backend = environment.open_backend(seed)
    backend.close()
    return isinstance(backend, WorkerBackend)


def _refusal_problems(session: EnvSession, call: ToolCall) -> Iterator[str]:
    before = session.state_hash()
    result = session.call(call)
    if not result.is_error:
        yield f"{call.name} with {_shorten(str(call.arguments))} was not refused"
    if session.state_hash() != before:
        yield f"{call.name} changed the state, though it was refused"


def _to_step(call: ToolCall, result: ToolResult, state_hash: str) -> _Step:
    return _Step(call.name, result.content, result.is_error, state_hash)


def _execute(session: EnvSession, calls: Sequence[ToolCall]) -> list[_Step]:
    """Execute `calls` up to one that breaks the world, which is an outcome like others."""
    steps: list[_Step] = []
    for call in calls:
        try:
            result = session.call(call)
            step = _to_step(call, result, session.state_hash())
        except EnvError as exc:
            return [*steps, _Step(call.name, {"error": str(exc)}, True, "")]
        steps.append(step)
    return steps


def _find_difference(expected: Sequence[_Step], found: Sequence[_Step]) -> tuple[str, str] | None:
    """Return the tool of the first step that differs, and how; what follows is its consequence."""
    for one, two in zip(expected, found, strict=False):
        if canonical_json([one.content, one.is_error]) != canonical_json(
            [two.content, two.is_error]
        ):
            shown = f"{_shorten(str(one.content))}, then {_shorten(str(two.content))}"
            return one.tool, f"{one.tool} gave {shown}"
        if one.state_hash != two.state_hash:
            return one.tool, f"{one.tool} led to another state"
    return None


def _shorten(text: str, length: int = 120) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
