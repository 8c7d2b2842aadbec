"""The reward of one assistant message: right or wrong (EGPO, equation 3). Free of torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from funreason_agents.refinement.notation import find_written_calls
from funreason_agents.training.answers import ParsedAnswer, parse_answer, parse_python_calls
from funreason_agents.verification.values import same_value

Outcome = Literal[
    "right", "cut_off", "template", "not_a_call", "not_a_text", "wrong_calls", "no_reasoning"
]
"""Why a message got its reward; all but `right` give 0."""

Call = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Judgement:
    """The reward of one message, and why."""

    reward: float
    outcome: Outcome


def judge_answer(
    text: str,
    reference: Mapping[str, Any],
    tools: Sequence[Mapping[str, Any]] = (),
    *,
    finished: bool = True,
    require_reasoning: bool = True,
) -> Judgement:
    """Judge one generated assistant message against its reference (EGPO, section 3.2).

    A reference with calls wants exactly these calls: all of them or nothing, and no other. Calls
    of one message are independent of each other, since none sees another's result, so their
    order does not count; equal calls count as often as they occur. Names must be equal; values
    are compared as the verifier does: whole numbers exactly, those with a fraction with a
    tolerance of 1e-9, texts without case and outer white space, lists in order, booleans
    literally. An argument that only repeats the default of its schema may be left out. A
    reference without calls wants a text that nobody reads as a call: not in the template's form,
    nor as bare JSON, nor in Python's notation, alone or after a lead-in. A tool may be spoken of;
    what the text says is not judged. A message that breaks the template is wrong, whatever it
    says.

    Args:
        text: What the model wrote after the generation prompt, without its end-of-turn token.
        reference: The reference message, with `tool_calls` as in a step row.
        tools: The tools that were offered, in the form of a step row.
        finished: The model ended the message itself; one that was cut off breaks the template.
        require_reasoning: A message without reasoning breaks the template.
    """
    if not finished:
        return Judgement(0.0, "cut_off")
    answer = parse_answer(text)
    if not answer.well_formed:
        return Judgement(0.0, "template")
    if require_reasoning and not (answer.reasoning or "").strip():
        return Judgement(0.0, "no_reasoning")
    outcome = _compare(answer, read_calls(reference), _read_defaults(tools))
    return Judgement(float(outcome == "right"), outcome)


def _compare(
    answer: ParsedAnswer, wanted: Sequence[Call], defaults: Mapping[str, Mapping[str, Any]]
) -> Outcome:
    made = [(call.name, call.arguments) for call in answer.tool_calls]
    if not wanted:
        written = parse_python_calls(answer.content) or find_written_calls(
            answer.content, defaults.keys()
        )
        return "not_a_text" if made or written else "right"
    if not made:
        return "not_a_call"
    return "right" if same_calls(made, wanted, defaults) else "wrong_calls"


def same_calls(
    made: Sequence[Call],
    wanted: Sequence[Call],
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
) -> bool:
    """Return whether two lists hold the same calls, in any order and each as often.

    Args:
        made: Calls as (name, arguments).
        wanted: Calls as (name, arguments).
        defaults: By tool, the arguments that mean the same when they are left out.
    """
    if len(made) != len(wanted):
        return False
    free = [_without_defaults(call, defaults or {}) for call in wanted]
    for name, arguments in (_without_defaults(call, defaults or {}) for call in made):
        # Being the same value is nearly an equivalence, so the first that fits is as good as any.
        hit = next(
            (
                n
                for n, each in enumerate(free)
                if each[0] == name and same_value(each[1], arguments)
            ),
            None,
        )
        if hit is None:
            return False
        del free[hit]
    return True


def read_calls(message: Mapping[str, Any]) -> list[Call]:
    """Return the calls of a message as (name, arguments); arguments may be an object or JSON."""
    calls = []
    for call in message.get("tool_calls") or ():
        function = call.get("function", call)
        arguments = function.get("arguments") or {}
        if isinstance(arguments, str):
            arguments = json.loads(arguments)
        calls.append((str(function["name"]), dict(arguments)))
    return calls


def _read_defaults(tools: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    defaults = {}
    for tool in tools:
        function = tool.get("function", tool)
        properties = (function.get("parameters") or {}).get("properties") or {}
        defaults[str(function["name"])] = {
            name: schema["default"]
            for name, schema in properties.items()
            if isinstance(schema, Mapping) and "default" in schema
        }
    return defaults


def _without_defaults(call: Call, defaults: Mapping[str, Mapping[str, Any]]) -> Call:
    name, arguments = call
    known = defaults.get(name, {})
    kept = {
        key: value
        for key, value in arguments.items()
        if key not in known or not same_value(known[key], value)
    }
    return name, kept
