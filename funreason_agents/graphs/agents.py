"""The agents of the paper: tooling, querying, reasoning, critiquing; and a judge that only rejects.

One function each. What an agent is told of the gold trace, it may not give away: code checks the
advanced tool and every critique.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from pydantic import BaseModel, ConfigDict, Field

from funreason_agents.errors import ModelOutputError
from funreason_agents.models.calls import form_of
from funreason_agents.models.client import CallScope, ModelClient
from funreason_agents.prompts import render_prompt
from funreason_agents.schemas.base import iterate_leaves
from funreason_agents.schemas.tasks import AdvancedTool, CallTrace, OuterInput, TurnTask
from funreason_agents.schemas.tools import ExecutedCall, ToolSpec
from funreason_agents.schemas.trajectory import Attempt, Critique, CritiqueKind, Verdict
from funreason_agents.verification.derivations import Facts, find_derivation
from funreason_agents.verification.query_gate import ORDINALS, find_selections
from funreason_agents.verification.values import is_distinctive, same_value, text_holds

Json = dict[str, Any]


class AdvancedToolDraft(BaseModel):
    """What the tooling agent answers."""

    model_config = ConfigDict(extra="ignore")

    # Bounds keep a server that enforces the schema from endless repetition.
    name: str = Field(max_length=200)
    description: str = Field(min_length=1, max_length=4000)
    inputs: list[InputDraft] = Field(default_factory=list, max_length=64)
    output: str = Field(default="", max_length=2000)


class InputDraft(BaseModel):
    """An input, as the tooling agent names it."""

    model_config = ConfigDict(extra="ignore")

    label: str = Field(max_length=200)
    description: str = Field(default="", max_length=1000)
    value: Any


class QueryDraft(BaseModel):
    """What the querying agent answers."""

    query: str = Field(min_length=1, max_length=8000)


class CritiqueDraft(BaseModel):
    """What the critiquing agent answers."""

    model_config = ConfigDict(extra="ignore")

    kind: CritiqueKind
    step: int | None = None
    tool: str | None = None
    parameter: str | None = None
    text: str = Field(min_length=1, max_length=2000)


class JudgementDraft(BaseModel):
    """What the judge answers."""

    model_config = ConfigDict(extra="ignore")

    natural: bool
    answerable: bool
    reason: str = Field(default="", max_length=1000)


def make_advanced_tool(
    client: ModelClient,
    trace: CallTrace,
    tools: Sequence[ToolSpec],
    facts: Facts,
    scope: CallScope,
) -> AdvancedTool:
    """Tooling agent (paper, equation 3): fold a call trace into one advanced tool.

    Raises:
        ModelError: the provider failed, or its answer could not be parsed.
    """
    specs = {tool.name: tool for tool in tools}
    calls = [
        {
            "tool": step.call.name,
            "description": specs[step.call.name].description,
            "arguments": step.call.arguments,
            "uses": _uses(step, facts),
            "choices": [ORDINALS[position] for position in find_selections(step, trace.calls)],
            "result": step.result.content,
        }
        for step in trace.calls
    ]
    data = {"calls": calls, "requests": list(trace.requests)}
    prompt = render_prompt("tooling", calls=_json(data), schema=_schema(AdvancedToolDraft))
    draft = client.ask(prompt, AdvancedToolDraft, scope)
    return AdvancedTool(
        name=draft.name,
        description=draft.description,
        inputs=tuple(OuterInput(**each.model_dump()) for each in draft.inputs),
        output=draft.output,
        composition=trace.tool_names,
    )


def _uses(step: ExecutedCall, facts: Facts) -> Json:
    """Return the arguments that the user need not supply, with the step that gives them."""
    uses: Json = {}
    for pointer, origin in step.origins.items():
        name = pointer.split("/")[1]
        if origin.kind == "output":
            uses[name] = f"result of step {origin.call}"
        elif origin.kind == "history":
            value = step.call.arguments[name]
            if not any(text_holds(text, value) for text in facts.texts):
                uses[name] = "an earlier turn"
    return uses


def write_query(
    client: ModelClient,
    tool: AdvancedTool,
    conversation: Sequence[str],
    noise: Json,
    problems: Sequence[str],
    scope: CallScope,
) -> str:
    """Querying agent (paper, equation 4): it sees the advanced tool only, never the sub-tools.

    Raises:
        ModelError: the provider failed, or its answer could not be parsed.
    """
    shown = {
        "description": tool.description,
        "inputs": [_show_input(each) for each in tool.inputs],
        "output": tool.output,
    }
    data = {
        "advanced_tool": shown,
        "conversation": list(conversation),
        "noise": noise,
        "problems": list(problems),
    }
    prompt = render_prompt("querying", data=_json(data), schema=_schema(QueryDraft))
    return client.ask(prompt, QueryDraft, scope).query.strip()


def _show_input(each: OuterInput) -> Json:
    """Return an input as the querying agent sees it: a referred value is not shown at all."""
    shown = each.to_json()
    return {k: v for k, v in shown.items() if k != ("value" if each.reference else "reference")}


def judge_query(
    client: ModelClient,
    query: str,
    tool: AdvancedTool,
    conversation: Sequence[str],
    scope: CallScope,
) -> str | None:
    """Ask a judge whether a query is natural and answerable; return why not, or None.

    It can only reject: whatever it says, the deterministic gate has to pass as well.

    Raises:
        ModelError: the provider failed, or its answer could not be parsed.
    """
    data = {
        "query": query,
        "conversation": list(conversation),
        "description": tool.description,
        "inputs": [_show_input(each) for each in tool.inputs],
    }
    prompt = render_prompt("judging", data=_json(data), schema=_schema(JudgementDraft))
    judgement = client.ask(prompt, JudgementDraft, scope)
    if judgement.natural and judgement.answerable:
        return None
    lacking = "natural" if judgement.answerable else "answerable"
    return f"a reader found it not {lacking}: {judgement.reason}"


def take_step(
    client: ModelClient,
    task: TurnTask,
    tools: Sequence[ToolSpec],
    chat: Sequence[BaseMessage],
    critiques: Sequence[Critique],
    scope: CallScope,
) -> AIMessage:
    """Reasoning agent: one step of acting, with the advanced tool's description as first hint.

    Where nothing may be called there is no hint: it would give the answer away.

    Args:
        client: The model of the role.
        task: The turn task; of the trace, only the advanced tool's description and composition
            are shown.
        tools: The tools that are offered.
        chat: Conversation, query, and what this attempt has said and seen so far.
        critiques: What the critic said of the attempts before.
        scope: Which call this is.

    Raises:
        ModelError: the provider failed.
        ModelOutputError: the answer is of no use: empty, cut off, filtered.
    """
    guided = bool(task.trace.calls)
    notes = {
        "description": task.advanced_tool.description if guided else None,
        "composition": list(task.advanced_tool.composition) if guided else [],
        "parallel": task.kind == "parallel_calls",
        "critiques": [critique.to_json() for critique in critiques],
    }
    prompt = render_prompt("reasoning", notes=_json(notes))
    return client.act([SystemMessage(prompt), *chat], [t.to_function() for t in tools], scope)


def criticise(
    client: ModelClient, task: TurnTask, attempt: Attempt, verdict: Verdict, scope: CallScope
) -> Critique:
    """Critiquing agent: explain the first error of a failed attempt, without gold values.

    The critic's words are used only if they name the error that the verifier found and give
    nothing away; else, and where its answer cannot be parsed, the difference that the verifier
    found speaks for itself.

    Raises:
        ModelError: the provider failed.
    """
    difference = find_difference(verdict, task, attempt)
    data = {
        "query": task.query,
        "attempt": [_brief(step) for step in attempt.executed],
        "reply": attempt.reply,
        "gold": [_brief(step) for step in task.trace.calls],
        "failed_checks": list(verdict.failed),
        "difference": difference,
    }
    prompt = render_prompt("critiquing", data=_json(data), schema=_schema(CritiqueDraft))
    try:
        draft = client.ask(prompt, CritiqueDraft, scope)
    except ModelOutputError:
        draft = None
    found = "wrong_tool" if difference["kind"] == "wrong_order" else difference["kind"]
    if draft is not None and draft.kind == found:
        critique = Critique(round=attempt.round, **draft.model_dump())
        if not find_leaks(critique, task, attempt):
            return critique
    kind = difference["kind"].replace("_", " ")
    return Critique(
        round=attempt.round,
        kind=found,
        step=difference.get("step"),
        tool=difference.get("tool"),
        parameter=difference.get("parameter"),
        text=f"First error: {kind} at step {difference.get('step')}.",
    )


def find_difference(verdict: Verdict, task: TurnTask, attempt: Attempt) -> Json:
    """Return kind and place of the first error, from the failed checks."""
    failed = {check.name: check.details for check in verdict.checks if not check.passed}
    if not task.trace.calls and attempt.executed:
        return {"kind": "extra_call", "step": 0, "tool": attempt.executed[0].call.name}
    match = failed.get("calls_match", {})
    if "kind" in match:
        return {k: match.get(k) for k in ("kind", "step", "tool", "parameter")}
    underived = failed.get("arguments_derivable", {}).get("problems")
    if underived:
        parameter = underived[0]["pointer"].split("/")[1]
        return {"kind": "wrong_source", "step": underived[0]["step"], "parameter": parameter}
    if "calls_match" in failed or "end_state" in failed:
        return {"kind": "missing_call", "step": None}
    if "turn_kind" in failed and task.kind == "parallel_calls":
        return {"kind": "separate_calls", "step": None}
    omitted = task.hard.omitted if task.hard and task.hard.part == 1 else None
    return {"kind": "bad_reply", "step": None, "parameter": omitted.label if omitted else None}


def find_leaks(critique: Critique, task: TurnTask, attempt: Attempt) -> list[Any]:
    """Return the gold values and uncalled gold tools that a critique gives away."""
    shown = Facts().add_text(task.query)
    for step in attempt.executed:
        shown = shown.add_result([step.call.arguments, step.result.content])
    said = f"{critique.text} {critique.parameter or ''} {critique.tool or ''}"
    called = {step.call.name for step in attempt.executed}
    leaks: list[Any] = [
        name
        for name in dict.fromkeys(task.trace.tool_names)
        if name not in called and re.search(rf"\b{re.escape(name)}\b", said)
    ]
    leaks += [
        leaf
        for leaf in _distinctive_leaves(task.trace)
        if text_holds(said, leaf) and find_derivation(leaf, shown) not in ("text", "result")
    ]
    return leaks


def strip_leaks(
    tool: AdvancedTool, trace: CallTrace, supplied: Sequence[Any]
) -> AdvancedTool | None:
    """Return an advanced tool whose texts give no inner value of its trace away.

    These texts become the hint, and what the query is written from. A result in `output` is
    struck out; where the description or an input gives a value away, there is no tool: None.
    """
    hidden = [
        leaf
        for leaf in _distinctive_leaves(trace)
        if not any(same_value(leaf, value) for value in supplied)
    ]
    inputs = (f"{each.label} {each.description}" for each in tool.inputs)
    said = "\n".join([tool.name, tool.description, *inputs])
    if any(text_holds(said, leaf) for leaf in hidden):
        return None
    leaky = any(text_holds(tool.output, leaf) for leaf in hidden)
    return tool.model_copy(update={"output": ""}) if leaky else tool


def _distinctive_leaves(trace: CallTrace) -> Iterator[Any]:
    for step in trace.calls:
        for _, leaf in iterate_leaves([step.call.arguments, step.result.content]):
            if is_distinctive(leaf):
                yield leaf


def find_missing_inputs(tool: AdvancedTool, needed: Sequence[tuple[str, Any]]) -> list[str]:
    """Return the parameters whose value no input of the advanced tool holds."""
    held = [leaf for each in tool.inputs for _, leaf in iterate_leaves(each.value)]
    return [label for label, value in needed if not any(same_value(value, h) for h in held)]


def _brief(step: ExecutedCall) -> Json:
    return {
        "tool": step.call.name,
        "arguments": step.call.arguments,
        "result": step.result.content,
        "is_error": step.result.is_error,
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


@cache
def _schema(model: type[BaseModel]) -> str:
    return _json(form_of(model))
