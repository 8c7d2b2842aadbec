"""What models are asked during refinement: to judge, to answer anew, to score, to be the student.

Answers that cannot be read are typed failures: of a judge, they refuse the row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.messages import AIMessage, convert_to_messages
from pydantic import BaseModel, ConfigDict, Field

from funreason_agents.errors import ModelOutputError
from funreason_agents.models.calls import form_of, split_reasoning
from funreason_agents.models.client import CallScope, ModelClient
from funreason_agents.prompts import render_prompt
from funreason_agents.refinement.checks import Finding, Judge
from funreason_agents.refinement.responses import Response, RowCall, to_message
from funreason_agents.refinement.row_schemas import to_schema
from funreason_agents.refinement.rows import Step, calls_of_prompt, read_tools, to_tool
from funreason_agents.refinement.stages import NeedsCall, Regenerate

Json = dict[str, Any]
Answer = Callable[[Sequence[Json], int], Sequence[Sequence[Json]]]
"""A student: from rows (`prompt` and `tools` alone) and a number to as many messages for each."""
UNUSABLE = "unusable_judgement"
_CHECKS = {2: "query", 3: "reasoning", 4: "answer"}


class CheckDraft(BaseModel):
    """What the judge of a check answers."""

    model_config = ConfigDict(extra="ignore")

    passed: bool
    reason: str = Field(default="", max_length=1000)


class CallDraft(BaseModel):
    """A call of an answer made anew."""

    model_config = ConfigDict(extra="ignore")

    name: str = Field(max_length=200)
    arguments: Json


class AnswerDraft(BaseModel):
    """An answer made anew."""

    model_config = ConfigDict(extra="ignore")

    reasoning: str = Field(default="", max_length=20_000)
    calls: list[CallDraft] = Field(min_length=1, max_length=32)


class ScoreDraft(BaseModel):
    """What a judge of HDR answers."""

    model_config = ConfigDict(extra="ignore")

    score: float = Field(ge=0, le=1)
    reason: str = Field(default="", max_length=1000)


def make_judge(client: ModelClient, scope: CallScope) -> Judge:
    """Return a judge of the checks 2, 3 and 4; it raises what a `ModelClient` raises.

    An answer that cannot be read refuses the row as `unusable_judgement`.
    """

    def judge(stage: int, step: Step) -> str | None:
        if stage == 3 and not step.response.reasoning:
            return None
        try:
            draft = _ask_check(client, _CHECKS[stage], step, scope)
        except ModelOutputError:
            return UNUSABLE
        return None if draft.passed else "refused_by_judge"

    return judge


def make_needs_call(client: ModelClient, scope: CallScope) -> NeedsCall:
    """Return what asks a model whether a call is needed.

    Where its answer cannot be read, the row's own answer is taken at its word.
    """

    def needs_call(step: Step) -> bool:
        try:
            return _ask_check(client, "need", step, scope).passed
        except ModelOutputError:
            return step.response.form == "call"

    return needs_call


def make_regenerate(client: ModelClient, scope: CallScope) -> Regenerate:
    """Return what asks a model for another answer.

    Raises when called:
        ModelOutputError: the answer cannot be read.
    """

    def regenerate(step: Step, finding: Finding) -> Json:
        data = {**_show(step), "problem": finding.problem}
        prompt = render_prompt("refine_answer", data=_json(data), schema=_schema(AnswerDraft))
        draft = client.ask(prompt, AnswerDraft, scope)
        calls = tuple(RowCall(each.name, each.arguments) for each in draft.calls)
        # Where the row has no reasoning, it gets none: all rows of a set are of one kind.
        reasoning = draft.reasoning.strip() if step.response.reasoning else ""
        return to_message(Response("call", reasoning, "", calls))

    return regenerate


def score_answer(judges: Sequence[ModelClient], step: Step, tau: float, scope: CallScope) -> float:
    """Return the share of judges that score an answer at least `tau` (BalanceSFT, its Score).

    A judge whose answer cannot be read scores 0. Without judges, the gates alone decide: 1.
    """
    if not judges:
        return 1.0
    prompt = render_prompt("refine_score", data=_json(_show(step)), schema=_schema(ScoreDraft))
    agreed = 0
    for judge in judges:
        try:
            agreed += judge.ask(prompt, ScoreDraft, scope).score >= tau
        except ModelOutputError:
            continue
    return agreed / len(judges)


def make_student(client: ModelClient, scope: CallScope) -> Answer:
    """Return a student that is a chat model; an answer of no use is none."""

    def answer(rows: Sequence[Json], samples: int) -> list[list[Json]]:
        return [[m for _ in range(samples) if (m := answer_once(row))] for row in rows]

    def answer_once(row: Json) -> Json | None:
        try:
            chat = convert_to_messages(_to_chat(row["prompt"]))
        except ValueError:  # a role or content of their own, which no chat model knows
            return None
        tools = [_to_function(each) for each in read_tools(row.get("tools"))]
        try:
            return _from_message(client.act(chat, tools, scope))
        except ModelOutputError:
            return None

    return answer


def _from_message(message: AIMessage) -> Json:
    reasoning, text = split_reasoning(message)
    calls = tuple(RowCall(c["name"], c["args"], c.get("id")) for c in message.tool_calls)
    return to_message(Response("call" if calls else "text", reasoning or "", text, calls))


def _to_function(tool: Json) -> Json:
    """Return a tool of a row as providers take it, with JSON Schema's names of types."""
    read = to_tool(tool)
    return read.model_copy(update={"parameters": to_schema(read.parameters)}).to_function()


def _to_chat(prompt: Sequence[Json]) -> list[Json]:
    """Return messages as OpenAI and LangChain have them, with the ids that rows may leave out.

    A result that names no call is that of the first call before it that has none yet.
    """
    chat: list[Json] = []
    waiting: list[str] = []
    for number, message in enumerate(prompt):
        made = {**message, "content": _content_of(message)}
        if message.get("tool_calls"):
            made["tool_calls"] = _to_calls(message, number)
            waiting = [call["id"] for call in made["tool_calls"]]
        elif message.get("role") == "tool":
            given = message.get("tool_call_id")
            if given not in waiting:
                given = waiting[0] if waiting else str(given or f"call_{number}")
            made["tool_call_id"] = given
            waiting = [each for each in waiting if each != given]
        chat.append(made)
    return chat


def _to_calls(message: Json, number: int) -> list[Json]:
    """Return the calls of a message, with arguments as text."""
    read = zip(message["tool_calls"], calls_of_prompt([message]), strict=True)
    return [
        {
            "id": str(call.get("id") or f"call_{number}_{place}"),
            "type": "function",
            "function": {"name": name, "arguments": _json(arguments)},
        }
        for place, (call, (name, arguments)) in enumerate(read)
    ]


def _content_of(message: Json) -> Any:
    """Return the content of a message: text, or blocks; a result that is neither as JSON."""
    content = message.get("content")
    if content is None:
        return ""
    blocks = isinstance(content, list) and all(
        isinstance(each, str) or (isinstance(each, dict) and "type" in each) for each in content
    )
    return content if isinstance(content, str) or blocks else _json(content)


def _ask_check(client: ModelClient, check: str, step: Step, scope: CallScope) -> CheckDraft:
    data = {"check": check, **_show(step)}
    prompt = render_prompt("refine_judge", data=_json(data), schema=_schema(CheckDraft))
    return client.ask(prompt, CheckDraft, scope)


def _show(step: Step) -> Json:
    response = step.response
    calls = [{"name": call.name, "arguments": call.arguments} for call in response.calls]
    return {
        "conversation": step.row["prompt"],
        "tools": step.row["tools"],
        "reasoning": response.reasoning,
        "answer": calls or response.text,
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _schema(model: type[BaseModel]) -> str:
    return _json(form_of(model))
