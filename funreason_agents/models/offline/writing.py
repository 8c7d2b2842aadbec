"""The offline model as tooling, querying, critiquing and judging agent."""

from __future__ import annotations

import json
import random
import re
from typing import Any

from funreason_agents.models.offline.language import effect_of, write_values, write_values_first
from funreason_agents.schemas.words import humanize

_GREETINGS = ("", "Hi! ", "Hello. ", "Quick request: ", "Good day. ")
_OPENERS = ("", "Next, ", "One more thing: ", "Thanks. ", "")
_LEADS = ("please {0}", "could you {0}", "I need you to {0}", "I would like you to {0}")
_NEXT = ("Then {0}", "After that, {0}", "Also {0}", "And {0}")
_CLOSERS = ("", " Thanks!", " Thank you.", "")
_REASONS = (
    "I want to get this off my list today.",
    "It has been on my mind since this morning.",
    "I would rather not leave it until later.",
)
_CHOICE = "choice among the results"
_QUOTED = re.compile(r"identifier '([^']+)'")


def fold_calls(data: dict[str, Any]) -> dict[str, Any]:
    """Fold calls into one tool: inputs equal to earlier outputs go, outer inputs stay.

    The description has a line per request, and each input says which request it belongs to.
    """
    calls, requests = data["calls"], sorted(data["requests"])
    effects = [effect_of(calls[number]["description"]) for number in requests]
    inputs = []
    for number, call in enumerate(calls):
        served = next((n for n, r in enumerate(requests) if r >= number), len(requests) - 1)
        given = [
            (humanize(name), value)
            for name, value in call["arguments"].items()
            if name not in call["uses"]
        ]
        given += [(_CHOICE, choice) for choice in call.get("choices", ())]
        inputs += [
            {"label": label, "value": value, "description": f"request {served + 1}"}
            for label, value in given
        ]
    return {
        "name": "_and_".join(calls[number]["tool"] for number in requests)[:60] + "_composite",
        "description": "\n".join(effects),
        "inputs": inputs,
        "output": f"what it takes to {effects[-1]}",
    }


def write_query(data: dict[str, Any]) -> dict[str, Any]:
    """Say each effect and its labelled values in one of several seeded ways.

    Of the noise, `order` decides whether values come first, and `detail` how much is said around
    the request.
    """
    tool, problems, noise = data["advanced_tool"], data.get("problems") or [], data["noise"]
    draw = random.Random(int(noise.get("variant", 0)) + 1000 * len(problems))
    banned = [humanize(name) for text in problems for name in _QUOTED.findall(text)]
    effects = tool["description"].split("\n")
    leads = _LEADS if len(effects) == 1 else [lead for lead in _LEADS if "could" not in lead]
    lead, sentences = draw.choice(leads), []
    for number, effect in enumerate(effects):
        wanted = f"request {number + 1}"
        inputs = _merge([_say(i) for i in tool["inputs"] if i["description"] == wanted])
        said = _rephrase(effect, banned, draw.randrange(3))
        sentence = (lead if number == 0 else draw.choice(_NEXT)).format(said)
        variant = draw.randrange(6)
        if noise.get("order") != "values_first":
            sentence += write_values(inputs, variant)
        elif inputs:
            sentence = write_values_first(inputs) + sentence[0].lower() + sentence[1:]
            sentence = sentence if number == 0 else sentence[0].upper() + sentence[1:]
        sentences.append(sentence)
    opener = draw.choice(_OPENERS if data.get("conversation") else _GREETINGS)
    closer = draw.choice(_CLOSERS)
    if noise.get("detail") == "sparse":
        opener = closer = ""
    elif noise.get("detail") == "rich":
        closer = f" {draw.choice(_REASONS)}{closer}"
    if not opener.endswith(", "):
        sentences[0] = sentences[0][0].upper() + sentences[0][1:]
    end = "?" if lead.startswith("could") else "."
    return {"query": opener + ". ".join(sentences) + end + closer}


def _say(given: dict[str, Any]) -> tuple[str, Any] | str:
    """Return label and value of an input, or the words that refer to it."""
    return str(given.get("reference") or "") or (given["label"], given.get("value"))


def _merge(said: list[tuple[str, Any] | str]) -> list[tuple[str, Any] | str]:
    """Say a value once where every use of its label has the same value."""
    kept: list[tuple[str, Any] | str] = []
    for each in said:
        uses = [o for o in said if not isinstance(o, str) and o[0] == each[0]]
        same = isinstance(each, str) or all(other == each for other in uses)
        if not (same and any(_is_said(each, other) for other in kept)):
            kept.append(each)
    return kept


def _is_said(each: tuple[str, Any] | str, other: tuple[str, Any] | str) -> bool:
    if isinstance(each, str) or isinstance(other, str):
        return each == other
    return each[0] == other[0]


def _rephrase(effect: str, banned: list[str], variant: int) -> str:
    """Say an effect in other words where the gate refused the ones before."""
    for phrase in banned:
        first, _, rest = phrase.partition(" ")
        other = ("handle the", "take care of the", "do the")[variant % 3]
        effect = re.sub(rf"(?i)\b{re.escape(phrase)}\b", f"{other} {rest}, to {first} it", effect)
    return effect


_KINDS = {
    "missing_call": "The work stopped too early: a call is still missing after step {step}.",
    "extra_call": "Step {step} calls {tool!r}, which the request does not ask for.",
    "wrong_tool": "Step {step} calls {tool!r}, but another tool is needed there.",
    "wrong_source": "Step {step} calls {tool!r} with a value for {parameter!r} from the wrong "
    "place. Look for it elsewhere: in the request, or in another result.",
    "separate_calls": "Calls that need nothing of each other belong in one message, and no others.",
    "bad_reply": "The calls are right, but the closing text says something they do not show.",
}


def criticise(data: dict[str, Any]) -> dict[str, Any]:
    """Name the first difference between the attempt and the right calls."""
    found = data["difference"]
    kind = found.get("kind", "bad_reply")
    if kind == "wrong_order":
        kind = "wrong_tool"
    answer = {
        "kind": kind,
        "step": found.get("step"),
        "tool": found.get("tool"),
        "parameter": found.get("parameter"),
    }
    if kind == "bad_reply" and answer["parameter"]:
        label = humanize(answer["parameter"])
        return {**answer, "text": f"The {label} is not known. Make no call and ask for it."}
    return {**answer, "text": _KINDS[kind].format(**answer)}


def judge_query(data: dict[str, Any]) -> dict[str, Any]:
    """Say whether a query holds what it takes to answer it."""
    lacking = [
        each["label"]
        for each in data["inputs"]
        if not each.get("reference") and not _holds(data["query"], each.get("value"))
    ]
    reason = f"The {lacking[0]} is not given." if lacking else "Every value is given."
    return {"natural": True, "answerable": not lacking, "reason": reason}


def _holds(text: str, value: Any) -> bool:
    """Whether each leaf of a value stands in a text; yes, no and nothing are said in many ways."""
    if isinstance(value, dict | list):
        leaves = value.values() if isinstance(value, dict) else value
        return all(_holds(text, leaf) for leaf in leaves)
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, int | float):
        said = re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\w)", text)
        return any(float(number) == value for number in said)
    return str(value) in text or json.dumps(value, ensure_ascii=False)[1:-1] in text
