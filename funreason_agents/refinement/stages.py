"""What becomes of a row: FCDR, BalanceSFT's split, the gates of HDR, EGPO's preparation. Pure."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from funreason_agents.errors import FunReasonError, ModelOutputError
from funreason_agents.refinement.arguments import repair_arguments
from funreason_agents.refinement.checks import STAGES, Finding, Judge, find_first
from funreason_agents.refinement.responses import RowCall, to_message
from funreason_agents.refinement.rows import Step, find_row_problem
from funreason_agents.schemas.base import iterate_leaves
from funreason_agents.schemas.tools import ToolSpec
from funreason_agents.verification.derivations import DIRECT, find_derivation
from funreason_agents.verification.grounding import find_ungrounded
from funreason_agents.verification.likeness import coverage
from funreason_agents.verification.values import is_trivial, to_plain

Json = dict[str, Any]
T = TypeVar("T")
Mode = Literal["fcdr", "split", "hdr", "egpo"]
Regenerate = Callable[[Step, Finding], Json]
"""Asked for another answer; returns an assistant message."""
NeedsCall = Callable[[Step], bool]
"""Asked whether the last message wants a call that one of the tools can make."""

_WITHOUT_REASONING = (1, 2, 4, 5)
ANSWER_STAGE = "answer"
"""EGPO's first stage: the answer is judged, and made anew if it is wrong."""
AST_STAGE = "ast"
"""EGPO's second: a call although no tool can serve, or text although a call is needed."""
_ASKS = re.compile(
    r"\?\W*$|^\W*(?:provide|specify|enter|choose|give|tell)\b"
    r"|\b(?:please(?! (?:note|find|see|remember|be))|let me know|(?:tell|give|send) me|format"
    r"|(?:could|can|would|will) you|(?:you|i)(?:'ll| will| would|'d)?(?: also| still)? need)\b",
    re.IGNORECASE,
)
"""A sentence that asks for something: a question, a request, or what an input has to look like."""
_SENTENCES = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)\s+")
_ITEM = re.compile(r"\s*(?:[-*\u2022]|\d+[.)])\s")

_logger = logging.getLogger(__name__)


def attempt(
    work: Callable[..., T], *given: Any, otherwise: T, **asked: Callable[..., Any] | None
) -> T:
    """Return what `work` gives; `otherwise` where a row or an answer breaks it.

    Rows are anybody's, and one of them must not end a run at the same place each time. What
    asking a model raises is no fault of a row, so it is raised.

    Args:
        work: Checks a row or an answer.
        given: What it is called with.
        otherwise: Given in place of what it would have given.
        asked: What asks a model, passed on by name.
    """
    raised: list[Exception] = []
    try:
        return work(*given, **{name: _note_raised(ask, raised) for name, ask in asked.items()})
    except (FunReasonError, MemoryError):
        raise
    except Exception as exc:
        if exc in raised:
            raise
        _logger.warning("could not check a row or an answer: %s", type(exc).__name__)
        _logger.debug("where it broke", exc_info=exc)
        return otherwise


def _note_raised(
    ask: Callable[..., Any] | None, raised: list[Exception]
) -> Callable[..., Any] | None:
    if ask is None:
        return None

    def asked(*given: Any) -> Any:
        try:
            return ask(*given)
        except Exception as exc:
            raised.append(exc)
            raise

    return asked


def unreadable_row() -> Json:
    """Return the outcome of a row that breaks the checks."""
    return _outcome("dropped", stage=0, problem="unreadable_row")


def refine_row(
    row: Any,
    *,
    judge: Judge | None = None,
    regenerate: Regenerate | None = None,
    most: int = 3,
) -> Json:
    """FCDR: save a row, drop it, or make its answer anew and check it again.

    A row that fails check 1, 2 or 3 is dropped. If it fails 4 or 5, code repairs what is beyond
    doubt, else a model answers anew, up to `most` times; then it is dropped, too.

    Returns:
        The outcome: `outcome` (`saved` or `dropped`), `form` (`call` or `text`), `stage` and
        `problem` (the first check it failed), `regenerations`, `repaired_by` (`code` or `model`),
        and `completion` if the answer is another one than the row's.
    """
    problem = find_row_problem(row)
    if problem:
        return _outcome("dropped", stage=0, problem=problem)
    step = Step(row, row["completion"][0])
    finding = find_first(step, judge)
    if finding is None:
        return _outcome("saved", form=step.response.form)
    caught = {"form": step.response.form, "stage": finding.stage, "problem": finding.problem}
    if finding.stage < 4:
        return _outcome("dropped", **caught)
    repaired, told = Repairs(judge, regenerate, most).repair(step, finding)
    if repaired is None:
        return _outcome("dropped", **caught, **told)
    return _outcome("saved", **caught, **told, completion=repaired)


def split_row(row: Any, *, judge: Judge | None = None) -> Json:
    """BalanceSFT: a row is qualified (BQC and AC pass), hard (only BQC does) or dropped."""
    problem = find_row_problem(row)
    if problem:
        return _outcome("dropped", stage=0, problem=problem)
    step = Step(row, row["completion"][0])
    finding = find_first(step, judge)
    if finding is None:
        return _outcome("qualified", form=step.response.form)
    return _outcome(
        "hard" if finding.stage >= 4 else "dropped",
        form=step.response.form,
        stage=finding.stage,
        problem=finding.problem,
        judged=finding.judged or None,
    )


def find_passing(
    row: Json, answers: Sequence[Json], judge: Judge | None = None, *, judged: bool = False
) -> list[Json]:
    """Return the answers of a student to a hard row that are calls and pass both gates.

    Text is none of them: the row was found hard because a call is wanted.

    Args:
        row: The hard row.
        answers: Messages.
        judge: Asked about what code accepts.
        judged: A judge refused the row's own answer, so the same calls are refused again.
    """
    refused = Step(row, row["completion"][0]) if judged else None

    def read_passing(answer: Json, judge: Judge | None) -> Json | None:
        step = Step(row, answer)
        if step.response.form != "call" or (refused and _calls(step) == _calls(refused)):
            return None
        return to_message(step.response) if find_first(step, judge) is None else None

    found = (attempt(read_passing, each, otherwise=None, judge=judge) for each in answers)
    return [message for message in found if message is not None]


def prepare_row(
    row: Any,
    *,
    judge: Judge | None = None,
    regenerate: Regenerate | None = None,
    needs_call: NeedsCall | None = None,
    most: int = 3,
) -> Json:
    """EGPO's preparation (arXiv 2508.05118, section on data): judge and regenerate, then AST.

    Reasoning is not looked at: the row is a query, its tools and a reference.

    Returns:
        The outcome as `refine_row` has it, with the stage `answer` or `ast`. A row that is
        repaired and then dropped has its own answer, as all dropped rows do.
    """
    problem = find_row_problem(row)
    if problem:
        return _outcome("dropped", stage=0, problem=problem)
    step = Step(row, row["completion"][0])
    finding = find_first(step, judge, _WITHOUT_REASONING)
    outcome = _outcome("saved", form=step.response.form)
    if finding is not None:
        caught = {"form": step.response.form, "stage": ANSWER_STAGE, "problem": finding.problem}
        ask = Repairs(judge, regenerate, most, _WITHOUT_REASONING)
        repaired, told = ask.repair(step, finding)
        if repaired is None:
            return _outcome("dropped", **caught, **told)
        step = Step(row, repaired)
        outcome = _outcome("saved", **caught, **told, completion=repaired)
    mismatch = find_mismatch(step, needs_call)
    if mismatch is None:
        return outcome
    dropped = {**outcome, "outcome": "dropped", "stage": AST_STAGE, "problem": mismatch}
    return {
        name: value for name, value in dropped.items() if name not in ("repaired_by", "completion")
    }


def find_mismatch(step: Step, needs_call: NeedsCall | None = None) -> str | None:
    """Return `"call_without_tool"`, `"text_without_call"` or None.

    Code knows that no tool can serve only where none is offered, or where the called one speaks
    of nothing that was said and no value of the call was said or shown; and that a call is needed
    only where text states, and does not ask for, what neither anybody nor a tool has said or
    shown.
    """
    if step.response.form == "call":
        offered = [call for call in step.response.calls if call.name in step.tools]
        if not any(_is_spoken_of(step, call) for call in offered):
            return "call_without_tool"
        return "call_without_tool" if needs_call and not needs_call(step) else None
    if step.tools and _asks_last(step):
        facts = step.facts.add_text(json.dumps(step.row["tools"], ensure_ascii=False))
        if find_ungrounded(_statements(step.response.text), facts):
            return "text_without_call"
    return "text_without_call" if needs_call and needs_call(step) else None


@dataclass(frozen=True)
class Repairs:
    """How an answer that fails a check is made to pass: by code, else by a model."""

    judge: Judge | None
    regenerate: Regenerate | None
    most: int
    stages: Collection[int] = STAGES

    def repair(self, step: Step, finding: Finding) -> tuple[Json | None, Json]:
        """Return (message that passes all checks or None, what to tell of it in the outcome).

        What a judge has refused stays refused: he is not asked again until he says yes.
        """
        refused = [(step, finding)] if finding.judged else []
        # Code only writes the same answer properly, which is no other answer to a judge.
        fixed = None if finding.judged else _repair_by_code(step)
        if fixed is not None and self._find(Step(step.row, fixed), refused) is None:
            return fixed, {"repaired_by": "code"}
        told: Json = {"regenerations": 0}
        while self.regenerate is not None and told["regenerations"] < self.most:
            told["regenerations"] += 1
            try:
                again = Step(step.row, self.regenerate(step, finding))
            except ModelOutputError as exc:
                told["failure"] = exc.kind  # an answer of no use is one of the tries
                continue
            is_call = again.response.form == "call"
            found = self._find(again, refused) if is_call else Finding(1, "no_call")
            if found is None:
                return to_message(again.response), {**told, "repaired_by": "model"}
            finding = found
        return None, told

    def _find(self, step: Step, refused: list[tuple[Step, Finding]]) -> Finding | None:
        """Return the first check it fails; `refused` has, and gets, what a judge refuses."""
        for other, finding in refused:
            alike = finding.stage != 3 or step.response.reasoning == other.response.reasoning
            if alike and _calls(step) == _calls(other):
                return finding
        found = find_first(step, self.judge, self.stages)
        if found is not None and found.judged:
            refused.append((step, found))
        return found


def _calls(step: Step) -> list[tuple[str, Json]]:
    return [(call.name, call.arguments) for call in step.response.calls]


def _repair_by_code(step: Step) -> Json | None:
    """Return the answer in proper form with arguments that fit; None if that is in doubt.

    A call that is made again is in doubt, since it may be wanted again. None, too, if there is
    nothing to repair.
    """
    if step.response.form != "call":
        return None
    calls: list[RowCall] = []
    for call in step.response.calls:
        tool = step.tools.get(call.name)
        arguments = repair_arguments(call.arguments, tool, step.facts) if tool else None
        if arguments is None:
            return None
        calls.append(replace(call, arguments=arguments))
    if tuple(calls) == step.response.calls and not step.response.flaws:
        return None
    return to_message(replace(step.response, calls=tuple(calls), flaws=()))


def _is_spoken_of(step: Step, call: RowCall) -> bool:
    """Return whether the conversation has a word of the tool, or a value of the call."""
    tool: ToolSpec = step.tools[call.name]
    if not step.facts.texts or any(coverage(text, tool) > 0 for text in step.facts.texts):
        return True
    leaves = (leaf for _, leaf in iterate_leaves(call.arguments) if not is_trivial(leaf))
    return any(find_derivation(leaf, step.facts) in DIRECT for leaf in leaves)


def _statements(text: str) -> str:
    """Return a reply without the sentences that ask for something, and the lists they open."""
    kept, asked = [], False
    for line in to_plain(text).splitlines():
        if asked and _ITEM.match(line):
            continue
        parts = [part for part in _SENTENCES.split(line) if part.strip()]
        told = [part for part in parts if not _ASKS.search(part)]
        if parts:
            asked = parts[-1].rstrip().endswith(":") and parts[-1] not in told
        kept.append(" ".join(told))
    return "\n".join(kept)


def _asks_last(step: Step) -> bool:
    return bool(step.row["prompt"][-1].get("role") == "user")


def _outcome(outcome: str, **told: Any) -> Json:
    """Return an outcome without the fields that say nothing."""
    said = {name: value for name, value in told.items() if value is not None}
    return {"outcome": outcome, "form": None, "stage": None, "problem": None, **said}
