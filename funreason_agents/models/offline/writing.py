"""The offline model as tooling, querying and critiquing agent."""

from __future__ import annotations

import random
import re
from typing import Any

from funreason_agents.models.offline.language import effect_of, write_values
from funreason_agents.schemas.words import humanize

_GREETINGS = ("", "Hi! ", "Hello. ", "Quick request: ", "Good day. ")
_OPENERS = ("", "Next, ", "One more thing: ", "Thanks. ", "")
_LEADS = ("please {0}", "could you {0}", "I need you to {0}", "I would like you to {0}")
_NEXT = ("Then {0}", "After that, {0}", "Also {0}", "And {0}")
_CLOSERS = ("", " Thanks!", " Thank you.", "")
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
    """Say each effect and its labelled values in one of several seeded ways."""
    tool, problems = data["advanced_tool"], data.get("problems") or []
    draw = random.Random(int(data["noise"].get("variant", 0)) + 1000 * len(problems))
    banned = [humanize(name) for text in problems for name in _QUOTED.findall(text)]
    effects = tool["description"].split("\n")
    leads = _LEADS if len(effects) == 1 else [lead for lead in _LEADS if "could" not in lead]
    lead, sentences = draw.choice(leads), []
    for number, effect in enumerate(effects):
        wanted = f"request {number + 1}"
        inputs = [(i["label"], i["value"]) for i in tool["inputs"] if i["description"] == wanted]
        said = _rephrase(effect, banned, draw.randrange(3))
        pattern = lead if number == 0 else draw.choice(_NEXT)
        sentences.append(pattern.format(said) + write_values(_merge(inputs), draw.randrange(6)))
    opener = draw.choice(_OPENERS if data.get("conversation") else _GREETINGS)
    if not opener.endswith(", "):
        sentences[0] = sentences[0][0].upper() + sentences[0][1:]
    end = "?" if lead.startswith("could") else "."
    return {"query": opener + ". ".join(sentences) + end + draw.choice(_CLOSERS)}


def _merge(pairs: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Say a value once where every use of its label has the same value."""
    kept: list[tuple[str, Any]] = []
    for label, value in pairs:
        uses = [other for name, other in pairs if name == label]
        same = all(other == value for other in uses)
        if not (same and any(name == label for name, _ in kept)):
            kept.append((label, value))
    return kept


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
    return {**answer, "text": _KINDS[kind].format(**answer)}
