"""What becomes of a row: FCDR, BalanceSFT's split, the gates of HDR, EGPO's preparation. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from funreason_agents.errors import ModelOutputError
from funreason_agents.refinement.arguments import repair_arguments
from funreason_agents.refinement.checks import STAGES, Finding, Judge, find_first
from funreason_agents.refinement.responses import RowCall, to_message
from funreason_agents.refinement.rows import Step, find_row_problem
from funreason_agents.schemas.tools import ToolSpec
from funreason_agents.verification.grounding import find_ungrounded
from funreason_agents.verification.likeness import coverage

Json = dict[str, Any]
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
    outcome = "hard" if finding.stage >= 4 else "dropped"
    return _outcome(outcome, form=step.response.form, stage=finding.stage, problem=finding.problem)


def find_passing(row: Json, answers: Sequence[Json], judge: Judge | None = None) -> list[Json]:
    """Return the answers of a student to a hard row that are calls and pass both gates.

    Text is none of them: the row was found hard because a call is wanted.
    """
    steps = (Step(row, answer) for answer in answers)
    return [
        to_message(step.response)
        for step in steps
        if step.response.form == "call" and find_first(step, judge) is None
    ]


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
        The outcome as `refine_row` has it, with the stage `answer` or `ast`.
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
    return {**outcome, "outcome": "dropped", "stage": AST_STAGE, "problem": mismatch}


def find_mismatch(step: Step, needs_call: NeedsCall | None = None) -> str | None:
    """Return `"call_without_tool"`, `"text_without_call"` or None.

    Code knows that no tool can serve only where none is offered, or where the called one speaks
    of nothing that was said; and that a call is needed only where text states what nobody has
    said or shown.
    """
    if step.response.form == "call":
        offered = [step.tools[c.name] for c in step.response.calls if c.name in step.tools]
        if not offered or not any(_is_spoken_of(step, tool) for tool in offered):
            return "call_without_tool"
        return "call_without_tool" if needs_call and not needs_call(step) else None
    if step.tools and _asks_last(step) and find_ungrounded(step.response.text, step.facts):
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
        """Return (message that passes all checks or None, what to tell of it in the outcome)."""
        fixed = _repair_by_code(step)
        if fixed is not None and self._find(Step(step.row, fixed)) is None:
            return fixed, {"repaired_by": "code"}
        told: Json = {"regenerations": 0}
        while self.regenerate is not None and told["regenerations"] < self.most:
            told["regenerations"] += 1
            try:
                again = Step(step.row, self.regenerate(step, finding))
            except ModelOutputError as exc:
                told["failure"] = exc.kind  # an answer of no use is one of the tries
                continue
            found = self._find(again) if again.response.form == "call" else Finding(1, "no_call")
            if found is None:
                return to_message(again.response), {**told, "repaired_by": "model"}
            finding = found
        return None, told

    def _find(self, step: Step) -> Finding | None:
        return find_first(step, self.judge, self.stages)


def _repair_by_code(step: Step) -> Json | None:
    """Return the answer in proper form with arguments that fit; None if that is in doubt."""
    if step.response.form != "call":
        return None
    calls: list[RowCall] = []
    for call in step.response.calls:
        tool = step.tools.get(call.name)
        arguments = repair_arguments(call.arguments, tool, step.facts) if tool else None
        if arguments is None:
            return None
        fixed = replace(call, arguments=arguments)
        if all((each.name, each.arguments) != (fixed.name, arguments) for each in calls):
            calls.append(fixed)
    return to_message(replace(step.response, calls=tuple(calls), flaws=()))


def _is_spoken_of(step: Step, tool: ToolSpec) -> bool:
    return any(coverage(text, tool) > 0 for text in step.facts.texts) or not step.facts.texts


def _asks_last(step: Step) -> bool:
    return bool(step.row["prompt"][-1].get("role") == "user")


def _outcome(outcome: str, **told: Any) -> Json:
    """Return an outcome without the fields that say nothing."""
    said = {name: value for name, value in told.items() if value is not None}
    return {"outcome": outcome, "form": None, "stage": None, "problem": None, **said}
