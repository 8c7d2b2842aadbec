"""The named checks. Each is a pure function; one that cannot run raises, and never passes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from funreason_agents.environments.base import Environment
from funreason_agents.errors import VerificationError
from funreason_agents.schemas.base import canonical_json, iterate_leaves
from funreason_agents.schemas.tasks import CallTrace, HardTurn
from funreason_agents.schemas.tools import ExecutedCall, ToolSpec
from funreason_agents.schemas.trajectory import Check, MatchMode, Message
from funreason_agents.verification.derivations import Facts, find_derivation
from funreason_agents.verification.grounding import find_ungrounded
from funreason_agents.verification.matching import match_calls, missing_results
from funreason_agents.verification.query_gate import find_query_problems
from funreason_agents.verification.wording import find_strange_deeds


@dataclass(frozen=True)
class TurnCase:
    """Everything that the checks of one turn look at."""

    environment: Environment
    query: str
    trace: CallTrace
    messages: tuple[Message, ...]
    """What the reasoner said and saw, without the query."""
    executed: tuple[ExecutedCall, ...]
    before: Facts
    """The conversation before this turn."""
    mode: MatchMode = "exact"
    hard: HardTurn | None = None
    pending: str = ""
    """The message before, whose request the query only completes."""
    reversed_group: tuple[ExecutedCall, ...] | None = None
    """Parallel calls: those of one message, as executed in the other order."""

    @property
    def own_query(self) -> str:
        """The query without the text that has nothing to do with the request."""
        return self.hard.strip_filler(self.query) if self.hard else self.query

    @property
    def request(self) -> str:
        """All that the user asks for: what is pending, and this query."""
        return f"{self.pending}\n{self.own_query}" if self.pending else self.own_query

    @property
    def offered(self) -> tuple[ToolSpec, ...]:
        """The tools that the reasoner was offered."""
        tools = self.environment.tools
        return self.hard.offer(tools) if self.hard else tools


def check_calls_valid(case: TurnCase) -> Check:
    """Every call names a tool that was offered, with arguments that its JSON Schema allows."""
    offered = {tool.name for tool in case.offered}
    problems = []
    for number, step in enumerate(case.executed):
        problem = case.environment.find_problem(step.call)
        if problem is None and step.call.name not in offered:
            problem = f"the tool {step.call.name!r} was not offered"
        if problem is not None:
            problems.append({"step": number, "problem": problem})
    return Check(name="calls_valid", passed=not problems, details={"problems": problems})


def check_calls_match(case: TurnCase) -> Check:
    """The calls are the gold calls (mode `exact`), or gave their results (mode `outcome`).

    Where nothing may be called, nothing was.
    """
    if not case.trace.calls:
        count = len(case.executed)
        details: dict[str, Any] = {"kind": "extra_call", "step": 0} if count else {}
        return Check(name="calls_match", passed=not count, mode=case.mode, details=details)
    gold = _without_defaults(case.trace.calls, case.environment.tools)
    attempt = _without_defaults(case.executed, case.environment.tools)
    if case.mode == "outcome":
        missing = missing_results(gold, attempt)
        details = {"missing_results": missing}
        return Check(name="calls_match", passed=not missing, mode="outcome", details=details)
    match = match_calls(gold, attempt)
    problem = dict(match.problem)
    if not problem and match.swapped:
        problem = _find_order_problem(gold, attempt)
    return Check(
        name="calls_match",
        passed=not problem,
        mode="exact",
        details={"extra_calls": len(match.extra), "swapped": match.swapped, **problem},
    )


def _find_order_problem(
    gold: Sequence[ExecutedCall], attempt: Sequence[ExecutedCall]
) -> dict[str, Any]:
    """Both orders were executed and gave the same results; the end state must agree too."""
    if gold[-1].state_after != attempt[-1].state_after:
        return {"kind": "wrong_order", "step": len(attempt) - 1, "tool": attempt[-1].call.name}
    return {}


def _without_defaults(
    calls: Sequence[ExecutedCall], tools: Sequence[ToolSpec]
) -> list[ExecutedCall]:
    """Drop arguments that only repeat the schema's default: leaving them out means the same."""
    specs = {tool.name: tool.properties for tool in tools}
    result = []
    for step in calls:
        schemas = specs.get(step.call.name, {})
        kept = {
            name: value
            for name, value in step.call.arguments.items()
            if "default" not in schemas.get(name, {})
            or canonical_json(schemas[name]["default"]) != canonical_json(value)
        }
        call = step.call.model_copy(update={"arguments": kept})
        result.append(step.model_copy(update={"call": call}))
    return result


def check_end_state(case: TurnCase) -> Check:
    """The state hash after the turn equals the gold session's."""
    after = case.executed[-1].state_after if case.executed else case.trace.state_before
    expected = case.trace.state_after
    return Check(
        name="end_state",
        passed=after == expected,
        details={"state_hash": after, "expected": expected},
    )


def check_arguments_derivable(case: TurnCase) -> Check:
    """Each leaf of each argument follows from what had been said and seen before the call.

    The results of calls in one message are not yet seen by its other calls.

    Raises:
        VerificationError: the messages do not hold the executed calls.
    """
    specs = {tool.name: tool for tool in case.environment.tools}
    facts = case.before.add_text(case.request)
    used: dict[str, int] = {}
    problems, trivial = [], 0
    for group in _group_by_message(case):
        for number, step in group:
            schemas = specs[step.call.name].properties if step.call.name in specs else {}
            for pointer, value in iterate_leaves(step.call.arguments):
                schema = schemas.get(pointer.split("/")[1])
                how = find_derivation(value, facts, schema)
                if how is None:
                    problems.append({"step": number, "pointer": pointer, "value": value})
                elif how == "trivial":
                    trivial += 1
                else:
                    used[how] = used.get(how, 0) + 1
        for _, step in group:
            facts = facts.add_result(step.result.content)
    return Check(
        name="arguments_derivable",
        passed=not problems,
        details={"problems": problems, "trivial_leaves": trivial, "derivations": used},
    )


def _group_by_message(case: TurnCase) -> list[list[tuple[int, ExecutedCall]]]:
    """Return the numbered executed calls, those of one message together."""
    sizes = [len(message.tool_calls) for message in case.messages if message.tool_calls]
    if sum(sizes) != len(case.executed):
        msg = f"{len(case.executed)} of the {sum(sizes)} calls in the messages were executed"
        raise VerificationError(msg)
    steps = enumerate(case.executed)
    return [list(itertools.islice(steps, size)) for size in sizes]


def check_query_clean(case: TurnCase) -> Check:
    """The query passes the gate: no identifiers, nothing that only a tool knows, all inputs."""
    omitted = case.hard.omitted if case.hard and case.hard.part == 1 else None
    problems = find_query_problems(
        case.own_query,
        case.trace,
        case.environment.tools,
        case.before,
        omitted=() if omitted is None else (omitted.value,),
        pending=case.pending,
    )
    return Check(name="query_clean", passed=not problems, details={"problems": problems})


def check_reply_grounded(case: TurnCase) -> Check:
    """There is a closing reply, and results or conversation support each of its claims."""
    last = case.messages[-1] if case.messages else None
    reply = last.content if last is not None and last.role == "assistant" else ""
    if last is None or last.tool_calls or not reply.strip():
        return Check(name="reply_grounded", passed=False, details={"problems": ["no reply"]})
    facts = case.before.add_text(case.request)
    for step in case.executed:
        facts = facts.add_arguments(step.call.arguments).add_result(step.result.content)
    problems = find_ungrounded(reply, facts)
    done = {step.call.name for step in case.executed if not step.result.is_error}
    told = [tool.to_json() for tool in case.environment.tools if tool.name in done]
    told += [source.content for source in facts.sources]
    deeds = find_strange_deeds(reply, canonical_json(told))
    problems += [{"deed": deed} for deed in deeds]
    return Check(name="reply_grounded", passed=not problems, details={"problems": problems})


SCAFFOLDING = (
    "composition", "compositions", "advanced tool", "advanced tools", "critique", "critiques",
    "critic", "critics", "verifier", "hint", "hints", "gold trace", "gold call", "gold calls",
    "gold answer", "gold value", "gold values", "call trace", "previous attempt", "earlier attempt",
    "last attempt", "first attempt", "first error", "<role>", "reasoning agent",
)  # fmt: skip
"""What only the prompts speak of."""


def check_scaffolding_absent(case: TurnCase) -> Check:
    """Neither reply nor reasoning mentions the hint or the critic, which training must not see.

    Words that the conversation, the results or the tools use themselves are no scaffolding: a
    piece of music has a composition, too.
    """
    said = [message for message in case.messages if message.role == "assistant"]
    own = _words(" ".join(f"{m.content} {m.reasoning or ''}" for m in said))
    found = [word for word in SCAFFOLDING if _has_words(own, word)]
    if found:
        domain = [tool.to_json() for tool in case.environment.tools]
        results = [[step.result.content, step.call.arguments] for step in case.executed]
        known = [source.content for source in case.before.sources]
        theirs = _words(f"{case.query} {canonical_json([domain, results, known])}")
        found = [word for word in found if not _has_words(theirs, word)]
    return Check(name="scaffolding_absent", passed=not found, details={"found": found})


def _words(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.lower().replace("<role>", " lrolel "))


def _has_words(text: str, words: str) -> bool:
    return f" {words.replace('<role>', 'lrolel')} " in f" {text} "


def check_replays(executed: Sequence[ExecutedCall], replayed: Sequence[ExecutedCall]) -> Check:
    """A fresh session gave the same results and the same state hash after each call.

    Raises:
        VerificationError: the replay has another number of calls.
    """
    if len(executed) != len(replayed):
        msg = f"replayed {len(replayed)} of {len(executed)} calls"
        raise VerificationError(msg)
    problems = [
        {"step": number, "differs": _difference(before, after)}
        for number, (before, after) in enumerate(zip(executed, replayed, strict=True))
        if _difference(before, after)
    ]
    return Check(name="replays", passed=not problems, details={"problems": problems})


def _difference(recorded: ExecutedCall, replayed: ExecutedCall) -> str:
    if recorded.result.is_error != replayed.result.is_error:
        return "is_error"
    if canonical_json(recorded.result.content) != canonical_json(replayed.result.content):
        return "result"
    return "" if recorded.state_after == replayed.state_after else "state"
