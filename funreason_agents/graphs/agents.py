"""The four agents of the paper: tooling, querying, reasoning, critiquing. One function each."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from pydantic import BaseModel, ConfigDict, Field

from funreason_agents.errors import ModelOutputError
from funreason_agents.models.calls import ask, call_model
from funreason_agents.prompts import render_prompt
from funreason_agents.schemas.base import iterate_leaves
from funreason_agents.schemas.tasks import AdvancedTool, CallTrace, OuterInput, TurnTask
from funreason_agents.schemas.tools import ExecutedCall, ToolSpec
from funreason_agents.schemas.trajectory import Attempt, Critique, Verdict
from funreason_agents.verification.derivations import Facts, find_derivation
from funreason_agents.verification.query_gate import ORDINALS, find_selections
from funreason_agents.verification.values import is_distinctive, same_value, text_holds

Json = dict[str, Any]


class AdvancedToolDraft(BaseModel):
    """What the tooling agent answers."""

    model_config = ConfigDict(extra="ignore")

    name: str
    description: str = Field(min_length=1)
    inputs: list[OuterInput] = Field(default_factory=list)
    output: str = ""


class QueryDraft(BaseModel):
    """What the querying agent answers."""

    query: str = Field(min_length=1)


class CritiqueDraft(BaseModel):
    """What the critiquing agent answers."""

    model_config = ConfigDict(extra="ignore")

    kind: Literal["missing_call", "extra_call", "wrong_tool", "wrong_source", "bad_reply"]
    step: int | None = None
    tool: str | None = None
    parameter: str | None = None
    text: str = Field(min_length=1)


def make_advanced_tool(
    model: BaseChatModel, trace: CallTrace, tools: Sequence[ToolSpec], facts: Facts
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
    draft = ask(model, prompt, AdvancedToolDraft)
    return AdvancedTool(
        name=draft.name,
        description=draft.description,
        inputs=tuple(draft.inputs),
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
    model: BaseChatModel,
    tool: AdvancedTool,
    conversation: Sequence[str],
    noise: Json,
    problems: Sequence[str],
) -> str:
    """Querying agent (paper, equation 4): it sees the advanced tool only, never the sub-tools.

    Raises:
        ModelError: the provider failed, or its answer could not be parsed.
    """
    shown = {
        "description": tool.description,
        "inputs": [each.to_json() for each in tool.inputs],
        "output": tool.output,
    }
    data = {
        "advanced_tool": shown,
        "conversation": list(conversation),
        "noise": noise,
        "problems": list(problems),
    }
    prompt = render_prompt("querying", data=_json(data), schema=_schema(QueryDraft))
    return ask(model, prompt, QueryDraft).query.strip()


def take_step(
    model: BaseChatModel,
    task: TurnTask,
    tools: Sequence[ToolSpec],
    chat: Sequence[BaseMessage],
    critiques: Sequence[Critique],
) -> AIMessage:
    """Reasoning agent: one step of acting, with the composition as its first hint.

    Args:
        model: The chat model.
        task: The turn task; of the trace, only the advanced tool's composition is shown.
        tools: The primitive tools.
        chat: Conversation, query, and what this attempt has said and seen so far.
        critiques: What the critic said of the attempts before.

    Raises:
        ModelError: the provider failed.
    """
    notes = {
        "composition": list(task.advanced_tool.composition),
        "critiques": [critique.to_json() for critique in critiques],
    }
    prompt = render_prompt("reasoning", notes=_json(notes))
    bound = model.bind_tools([tool.to_function() for tool in tools])
    return call_model(bound, [SystemMessage(prompt), *chat])


def criticise(model: BaseChatModel, task: TurnTask, attempt: Attempt, verdict: Verdict) -> Critique:
    """Critiquing agent: explain the first error of a failed attempt, without gold values.

    The critic's words are used only if they give nothing away; else, and where its answer
    cannot be parsed, the difference that the verifier found speaks for itself.

    Raises:
        ModelError: the provider failed.
    """
    difference = find_difference(verdict)
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
        draft = ask(model, prompt, CritiqueDraft)
    except ModelOutputError:
        draft = None
    if draft is not None:
        critique = Critique(round=attempt.round, **draft.model_dump())
        if not find_leaks(critique, task, attempt):
            return critique
    kind = difference["kind"].replace("_", " ")
    return Critique(
        round=attempt.round,
        kind="wrong_tool" if difference["kind"] == "wrong_order" else difference["kind"],
        step=difference.get("step"),
        tool=difference.get("tool"),
        parameter=difference.get("parameter"),
        text=f"First error: {kind} at step {difference.get('step')}.",
    )


def find_difference(verdict: Verdict) -> Json:
    """Return kind and place of the first error, from the failed checks."""
    failed = {check.name: check.details for check in verdict.checks if not check.passed}
    match = failed.get("calls_match", {})
    if "kind" in match:
        return {k: match.get(k) for k in ("kind", "step", "tool", "parameter")}
    underived = failed.get("arguments_derivable", {}).get("problems")
    if underived:
        parameter = underived[0]["pointer"].split("/")[1]
        return {"kind": "wrong_source", "step": underived[0]["step"], "parameter": parameter}
    if "calls_match" in failed or "end_state" in failed:
        return {"kind": "missing_call", "step": None}
    return {"kind": "bad_reply", "step": None}


def find_leaks(critique: Critique, task: TurnTask, attempt: Attempt) -> list[Any]:
    """Return the gold values and uncalled gold tools that a critique gives away."""
    shown = Facts().add_text(task.query)
    for step in attempt.executed:
        shown = shown.add_result([step.call.arguments, step.result.content])
    said = f"{critique.text} {critique.parameter or ''}"
    called = {step.call.name for step in attempt.executed}
    leaks: list[Any] = [
        name
        for name in dict.fromkeys(task.trace.tool_names)
        if name not in called and re.search(rf"\b{re.escape(name)}\b", said)
    ]
    for step in task.trace.calls:
        for _, leaf in iterate_leaves([step.call.arguments, step.result.content]):
            known = find_derivation(leaf, shown) in ("text", "result")
            if is_distinctive(leaf) and not known and text_holds(said, leaf):
                leaks.append(leaf)
    return leaks


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


def _schema(model: type[BaseModel]) -> str:
    return _json(model.model_json_schema())
