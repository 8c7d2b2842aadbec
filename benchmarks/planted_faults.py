"""Faults planted in good step rows: several kinds for each of FCDR's five checks.

A mutation gets a good row and a generator, and returns a faulty one, or None where it does not
apply. `repairable` says whether the good answer is still beyond doubt.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

Json = dict[str, Any]
Mutation = Callable[[Json, Random], Json | None]


@dataclass(frozen=True)
class Fault:
    """A kind of fault, and the check that it is meant for."""

    name: str
    stage: int
    plant: Mutation
    repairable: bool = False


def message_of(row: Json) -> Json:
    """Return the answer of a row."""
    answer: Json = row["completion"][0]
    return answer


def functions_of(row: Json) -> list[Json]:
    """Return the calls of a row's answer, to be changed in place."""
    return [call["function"] for call in message_of(row).get("tool_calls", [])]


def _say(text: str | Callable[[Json], str], *, keep_reasoning: bool = True) -> Mutation:
    def plant(row: Json, _: Random) -> Json:
        said = text if isinstance(text, str) else text(row)
        message = message_of(row)
        message.pop("tool_calls")
        message["content"] = said
        if not keep_reasoning:
            message.pop("reasoning_content", None)
        return row

    return plant


def _first(row: Json) -> Json:
    return functions_of(row)[0]


def _name_unknown(row: Json, generator: Random) -> Json:
    _first(row)["name"] = generator.choice(["query_database", "get_info", "execute", "lookup_v2"])
    return row


def _withdraw_tool(row: Json, _: Random) -> Json:
    called = {function["name"] for function in functions_of(row)}
    row["tools"] = [tool for tool in row["tools"] if tool["function"]["name"] not in called]
    return row


def _leaf(row: Json, generator: Random, wanted: Callable[[Any], bool]) -> tuple[Json, str] | None:
    places = [
        (function["arguments"], name)
        for function in functions_of(row)
        for name, value in function["arguments"].items()
        if wanted(value)
    ]
    return generator.choice(places) if places else None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) > 3


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _invent_text(row: Json, generator: Random) -> Json | None:
    place = _leaf(row, generator, _is_text)
    if place is None or _schema(row, place[1]).get("enum"):
        return None
    place[0][place[1]] = generator.choice(["Marisol Vane", "QX-77120", "Port Elwood", "Zephyria"])
    return row


def _invent_number(row: Json, generator: Random) -> Json | None:
    place = _leaf(row, generator, _is_number)
    if place is None:
        return None
    place[0][place[1]] = generator.randint(7000, 9000)
    return row


def _forget_source(row: Json, _: Random) -> Json | None:
    if not any(message["role"] == "tool" for message in row["prompt"]):
        return None
    told = json.dumps([m["content"] for m in row["prompt"] if m["role"] != "tool"])
    values = [v for f in functions_of(row) for v in f["arguments"].values() if _is_text(v)]
    if all(value in told for value in values):
        return None
    row["prompt"] = [
        {**message, "content": '{"status": "ok"}'} if message["role"] == "tool" else message
        for message in row["prompt"]
    ]
    return row


def _change_digit(row: Json, generator: Random) -> Json | None:
    place = _leaf(row, generator, lambda v: isinstance(v, str) and re.search(r"\d{2}", v))
    if place is None:
        return None
    value = place[0][place[1]]
    spot = generator.choice([m.start() for m in re.finditer(r"\d", value)])
    place[0][place[1]] = f"{value[:spot]}{(int(value[spot]) + 3) % 10}{value[spot + 1 :]}"
    return row


def _cut_value(row: Json, generator: Random) -> Json | None:
    place = _leaf(row, generator, lambda v: isinstance(v, str) and len(v.split()) > 2)
    if place is None:
        return None
    place[0][place[1]] = place[0][place[1]].rsplit(" ", 1)[0]
    return row


def _reason(text: Callable[[Json, Random], str | None]) -> Mutation:
    def plant(row: Json, generator: Random) -> Json | None:
        reasoning = message_of(row).get("reasoning_content")
        said = text(row, generator) if reasoning else None
        if not said or said == reasoning:
            return None
        message_of(row)["reasoning_content"] = said
        return row

    return plant


def _of_another_tool(row: Json, generator: Random) -> str | None:
    called = {function["name"] for function in functions_of(row)}
    others = [t["function"] for t in row["tools"] if t["function"]["name"] not in called]
    if not others:
        return None
    other = generator.choice(others)
    purpose = other["description"].split(".")[0].lower()
    return f"The user wants me to {purpose}. So {other['name']} is the tool to call next."


def _with_another_value(row: Json, generator: Random) -> str | None:
    function = _first(row)
    named = [name for name, value in function["arguments"].items() if _is_text(value)]
    if not named:
        return None
    label = generator.choice(named).replace("_", " ")
    value = f"Harrowgate-{generator.randint(10, 99)}"
    return f'I call {function["name"]} for this. The {label} is "{value}".'


def _with_invented_fact(row: Json, generator: Random) -> str:
    code = f"KX-{generator.randint(10000, 99999)}"
    return f"The customer mentioned voucher {code} before. With {code} I use {_first(row)['name']}."


def _looping(row: Json, generator: Random) -> str:
    sentence = "Wait, let me check the request of the user once more."
    return f"{message_of(row)['reasoning_content']} " + " ".join(
        [sentence] * generator.randint(5, 12)
    )


def _cut_reasoning(row: Json, _: Random) -> str:
    return f"{message_of(row)['reasoning_content'].split('.')[0]}, because the"


def _retype_number(row: Json, generator: Random) -> Json | None:
    place = _leaf(row, generator, _is_number)
    if place is None:
        return None
    place[0][place[1]] = str(place[0][place[1]])
    return row


def _rename(change: Callable[[str], str]) -> Mutation:
    def plant(row: Json, generator: Random) -> Json | None:
        arguments = _first(row)["arguments"]
        names = [name for name in arguments if change(name) != name]
        if not names:
            return None
        chosen = generator.choice(names)
        _first(row)["arguments"] = {
            change(name) if name == chosen else name: value for name, value in arguments.items()
        }
        return row

    return plant


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _misspell(name: str) -> str:
    return name[:2] + name[3:] if len(name) > 5 else name


def _schema(row: Json, parameter: str) -> Json:
    for tool in row["tools"]:
        found = tool["function"]["parameters"].get("properties", {}).get(parameter)
        if found and tool["function"]["name"] == _first(row)["name"]:
            return dict(found)
    return {}


def _recase_option(row: Json, _: Random) -> Json | None:
    for name, value in _first(row)["arguments"].items():
        if _schema(row, name).get("enum") and isinstance(value, str):
            changed = value.lower() if value != value.lower() else value.upper()
            _first(row)["arguments"][name] = changed
            return row
    return None


def _list_as_text(row: Json, generator: Random) -> Json | None:
    place = _leaf(row, generator, lambda value: isinstance(value, list))
    if place is None:
        return None
    place[0][place[1]] = json.dumps(place[0][place[1]])
    return row


def _drop_required(row: Json, generator: Random) -> Json | None:
    arguments = _first(row)["arguments"]
    if not arguments or any("default" in _schema(row, name) for name in arguments):
        return None
    arguments.pop(generator.choice(list(arguments)))
    return row


def _add_parameter(row: Json, _: Random) -> Json:
    _first(row)["arguments"]["verbose"] = True
    return row


def _call_twice(row: Json, _: Random) -> Json:
    calls = message_of(row)["tool_calls"]
    calls.append({**copy.deepcopy(calls[0]), "id": "again"})
    return row


def _swap(row: Json, generator: Random) -> Json | None:
    arguments = _first(row)["arguments"]
    named = [name for name, value in arguments.items() if _is_text(value)]
    if len(named) < 2:
        return None
    one, other = generator.sample(named, 2)
    arguments[one], arguments[other] = arguments[other], arguments[one]
    return row


def _python(row: Json) -> str:
    calls = (
        f"{f['name']}({', '.join(f'{k}={v!r}' for k, v in f['arguments'].items())})"
        for f in functions_of(row)
    )
    return f"[{', '.join(calls)}]"


def _json_calls(row: Json) -> list[Json]:
    return [{"name": f["name"], "arguments": f["arguments"]} for f in functions_of(row)]


def _hermes(row: Json) -> str:
    return "\n".join(f"<tool_call>\n{json.dumps(c)}\n</tool_call>" for c in _json_calls(row))


def _react(row: Json) -> str:
    function = _first(row)
    return f"Action: {function['name']}\nAction Input: {json.dumps(function['arguments'])}"


def _unquoted(row: Json, _: Random) -> Json | None:
    values = [v for f in functions_of(row) for v in f["arguments"].values()]
    plain = re.compile(r"[A-Za-z][\w -]*")
    if not values or not all(isinstance(v, str) and plain.fullmatch(v) for v in values):
        return None
    text = re.sub(r"['\"]", "", _python(row))
    return _say(text)(row, Random(0))


def _arguments_as_text(row: Json, _: Random) -> Json:
    for function in functions_of(row):
        function["arguments"] = json.dumps(function["arguments"])
    return row


def _flat(row: Json, _: Random) -> Json:
    message_of(row)["tool_calls"] = _json_calls(row)
    return row


def _old_field(row: Json, _: Random) -> Json | None:
    if len(functions_of(row)) != 1:
        return None
    message = message_of(row)
    function = message.pop("tool_calls")[0]["function"]
    message["function_call"] = {**function, "arguments": json.dumps(function["arguments"])}
    return row


def _think_inside(row: Json, _: Random) -> Json | None:
    message = message_of(row)
    if not message.get("reasoning_content"):
        return None
    message["content"] = f"<think>\n{message.pop('reasoning_content')}\n</think>\n\n{_hermes(row)}"
    message.pop("tool_calls")
    return row


def _cut_call(row: Json, _: Random) -> Json | None:
    if not _first(row)["arguments"]:
        return None
    text = _hermes(row)
    return _say(text[: text.index('"arguments"') + 16])(row, Random(0))


FAULTS = (
    Fault("nothing", 1, _say("")),
    Fault("dots", 1, _say("...")),
    Fault("spoken_result", 1, _say('<tool_response>\n{"status": "ok"}\n</tool_response>')),
    Fault("chat_markup", 1, _say("Sure, one moment.<|im_end|>\n<|im_start|>assistant")),
    Fault("announced_call", 1, _say(lambda r: f"I will use {_first(r)['name']} for that now.")),
    Fault("plain_promise", 1, _say("One moment please, I am looking that up for you.")),
    Fault("unknown_tool", 2, _name_unknown),
    Fault("tool_not_offered", 2, _withdraw_tool),
    Fault("invented_text", 2, _invent_text),
    Fault("invented_number", 2, _invent_number),
    Fault("forgotten_source", 2, _forget_source),
    Fault("changed_digit", 2, _change_digit),
    Fault("cut_value", 2, _cut_value),
    Fault("another_tool", 3, _reason(_of_another_tool)),
    Fault("another_value", 3, _reason(_with_another_value)),
    Fault("invented_fact", 3, _reason(_with_invented_fact)),
    Fault("looping", 3, _reason(_looping)),
    Fault("cut_reasoning", 3, _reason(_cut_reasoning)),
    Fault("declines", 3, _reason(lambda r, g: "This is clear. No tool call is needed for it.")),
    Fault("about_nothing", 3, _reason(lambda r, g: "Let me be careful and do the right thing.")),
    Fault("number_as_text", 4, _retype_number, True),
    Fault("camel_case_name", 4, _rename(_camel), True),
    Fault("misspelt_name", 4, _rename(_misspell), True),
    Fault("option_in_other_case", 4, _recase_option, True),
    Fault("list_as_text", 4, _list_as_text, True),
    Fault("called_twice", 4, _call_twice),
    Fault("missing_parameter", 4, _drop_required),
    Fault("extra_parameter", 4, _add_parameter),
    Fault("swapped_values", 4, _swap),
    Fault("python_list", 5, _say(_python), True),
    Fault("fenced_json", 5, _say(lambda r: f"```json\n{json.dumps(_json_calls(r))}\n```"), True),
    Fault("hermes_text", 5, _say(_hermes), True),
    Fault("react", 5, _say(_react), True),
    Fault("python_objects", 5, _say(lambda r: repr(_json_calls(r))), True),
    Fault("after_words", 5, _say(lambda r: f"Sure, here it is: {_python(r)}"), True),
    Fault("unquoted", 5, _unquoted, True),
    Fault("arguments_as_text", 5, _arguments_as_text, True),
    Fault("flat_call", 5, _flat, True),
    Fault("old_field", 5, _old_field, True),
    Fault("think_inside", 5, _think_inside, True),
    Fault("cut_call", 5, _cut_call),
)


@dataclass(frozen=True)
class Planted:
    """A row for refinement, with what is known of it."""

    row: Json
    truth: Json
    fault: Fault | None


def plant_faults(rows: list[Json], *, total: int, per_stage: int, seed: int) -> list[Planted]:
    """Return `total` rows, `per_stage` of them with a fault for each check, in random order.

    The kinds of a check take turns; each row is used once.

    Raises:
        ValueError: there are too few rows that the faults apply to.
    """
    generator = Random(seed)
    pool = generator.sample(rows, len(rows))
    planted: list[Planted] = []
    for stage in range(1, 6):
        kinds = [fault for fault in FAULTS if fault.stage == stage]
        stale = 0
        for number in range(10_000):
            if (
                sum(each.fault is not None and each.fault.stage == stage for each in planted)
                == per_stage
            ):
                break
            fault = kinds[number % len(kinds)]
            found = _plant_one(fault, pool, generator)
            stale = 0 if found else stale + 1
            if stale > len(kinds):
                msg = f"too few rows for the faults of check {stage}"
                raise ValueError(msg)
            planted += [found] if found else []
    clean = pool[: total - len(planted)]
    if len(clean) < total - len(planted):
        msg = f"{total} rows are wanted, there are {len(planted) + len(clean)}"
        raise ValueError(msg)
    planted += [Planted(row, row, None) for row in clean]
    generator.shuffle(planted)
    return planted


def _plant_one(fault: Fault, pool: list[Json], generator: Random) -> Planted | None:
    for place, row in enumerate(pool):
        if not functions_of(row):
            continue
        changed = fault.plant(copy.deepcopy(row), generator)
        if changed is not None and changed != row:
            del pool[place]
            return Planted(changed, row, fault)
    return None
