"""BFCL's API classes as a world that `environments.serve` can serve.

Loaded by path in the isolated interpreter that `tools/bfcl.py` sets up: it has the official
package, but neither `funreason_agents` nor Pydantic. Run as a script there, it lists the tools of
the classes it is given, or prints the folder of the package's data.
"""

from __future__ import annotations

import copy
import datetime
import hashlib
import importlib
import inspect
import json
import pickle
import random
import re
import statistics
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_origin

Json = dict[str, Any]

_TYPES = {"dict": "object", "float": "number", "tuple": "array"}
_ENUM = re.compile(r"(?:\[Enum\]|\b[Oo]ptions(?: are)?):\s*(\[[^\]]*\]|[^.\[]+)")
_RANGE = re.compile(
    r"(?:between |from |\[)(-?[\d.]*\d)(?: \([^)]*\))?(?: and | to |, )(-?[\d.]*\d)"
)
_SET_TEXT = re.compile(r"\{('[^'{}]*'(?:, '[^'{}]*')*)\}")
# The cost of a call is unbounded in these arguments only.
_LIMITS = {"exponent": (-1000, 1000), "precision": (1, 1000), "decimal_places": (-100, 100)}
# Constant in every session, or, as the flight costs, a cache that is filled before each use.
_NOT_STATE = {"_api_description", "_last_modified", "_flight_cost_lookup", "long_context"}
_MIN_JOINT_SCENARIOS = 5


class _Route(NamedTuple):
    class_name: str
    parameters: Json
    defaults: Json


class World:
    """BFCL classes that share sessions, as `environments.serve` serves them.

    Raises:
        ValueError: two of the classes have a tool of the same name.
    """

    def __init__(self, *class_names: str) -> None:
        config, data = _backend_config(), _data_folder()
        self._tools: list[Json] = []
        self._routes: dict[str, _Route] = {}
        self._classes: dict[str, Any] = {}
        for name in class_names:
            module = importlib.import_module(config.CLASS_FILE_PATH_MAPPING[name])
            _freeze_clock(vars(module))
            self._classes[name] = getattr(module, name)
            documents = data / "multi_turn_func_doc" / config.MULTI_TURN_FUNC_DOC_FILE_MAPPING[name]
            for document in _read_lines(documents):
                self._add_tool(name, document)
        stateful = [name for name in class_names if name not in config.STATELESS_CLASSES]
        self._load_scenarios(stateful, _read_lines(data / "BFCL_v4_multi_turn_base.json"))

    def tools(self) -> list[Json]:
        """Return the tools with their JSON Schemas."""
        return self._tools

    def open(self, seed: int) -> Session:
        """Open a session in the initial state that `seed` selects."""
        rng = random.Random(f"{'+'.join(self._classes)}:{seed}")
        chosen = rng.choice(self._joint) if self._joint else {}
        instances = {name: cls() for name, cls in self._classes.items()}
        for name, scenarios in self._scenarios.items():
            scenario = json.loads(chosen.get(name) or rng.choice(scenarios))
            scenario["random_seed"] = rng.randrange(2**32)
            instances[name]._load_scenario(scenario, long_context=False)
        return Session(instances, self._routes)

    def _add_tool(self, class_name: str, document: Json) -> None:
        name = document["name"]
        if name in self._routes:
            msg = f"{class_name} and {self._routes[name].class_name} both have a tool {name!r}"
            raise ValueError(msg)
        signature = inspect.signature(getattr(self._classes[class_name], name))
        tool = {
            "name": name,
            # The same introduction of the class precedes every description.
            "description": document["description"].rpartition("Tool description:")[2].strip(),
            "parameters": _restrict(document["parameters"], name),
            "output_schema": _describe_output(document["response"], signature.return_annotation),
        }
        self._tools.append(tool)
        # Some methods have a list as default, which calls and sessions would otherwise share.
        defaults = {key: each.default for key, each in signature.parameters.items()}
        mutable = {key: copy.copy(each) for key, each in defaults.items() if isinstance(each, list)}
        self._routes[name] = _Route(class_name, tool["parameters"], mutable)

    def _load_scenarios(self, class_names: list[str], items: list[Json]) -> None:
        found: list[dict[str, str]] = [{} for _ in items]
        for name in class_names:
            for texts, item in zip(found, items, strict=True):
                scenario = item["initial_config"].get(name)
                if scenario:
                    _REPAIRS.get(name, dict)(scenario)
                    texts[name] = json.dumps(scenario)
        self._scenarios: dict[str, list[str]] = {}
        for name in class_names:
            distinct = list(dict.fromkeys(texts[name] for texts in found if name in texts))
            # In a state with little in it, few tools have anything to act on.
            least = statistics.median(map(len, distinct)) / 2
            self._scenarios[name] = [text for text in distinct if len(text) >= least]
        rich = self._scenarios.items()
        joint = [each for each in found if all(each.get(name) in texts for name, texts in rich)]
        self._joint = joint if len(joint) >= _MIN_JOINT_SCENARIOS else []


class Session:
    """One live copy of the classes of a `World`."""

    def __init__(self, instances: dict[str, Any], routes: dict[str, _Route]) -> None:
        self._instances = instances
        self._routes = routes

    def call(self, name: str, arguments: Json) -> tuple[Any, bool]:
        """Execute a tool; what fails leaves the state as it was.

        Returns:
            The tool's result as JSON, and whether it is an error: then `{"error": ..., ...}`.
        """
        if name not in self._routes:
            return {"error": f"unknown tool {name!r}"}, True
        class_name, parameters, defaults = self._routes[name]
        problem = _find_problem(parameters, arguments)
        if problem is not None:
            return {"error": problem}, True
        instance = self._instances[class_name]
        before = pickle.dumps(instance, pickle.HIGHEST_PROTOCOL)
        try:
            result = getattr(instance, name)(**copy.deepcopy({**defaults, **arguments}))
            content, is_error = _find_error(_JsonWriter().write(result))
        except RecursionError:  # after `cp a a`; its own message depends on the caller's depth
            content, is_error = {"error": "RecursionError: the data is nested in itself"}, True
        except Exception as exc:  # noqa: BLE001  # whatever a method raises is the tool's answer
            content, is_error = {"error": f"{type(exc).__name__}: {exc}"}, True
        if is_error:
            self._instances[class_name] = pickle.loads(before)
        return content, is_error

    def dump_state(self) -> Json:
        """Return the state of each class by its name."""
        writer = _JsonWriter()
        return {name: writer.write(each, f"/{name}") for name, each in self._instances.items()}


def _backend_config() -> Any:
    return importlib.import_module("bfcl_eval.constants.executable_backend_config")


def _data_folder() -> Path:
    return Path(_backend_config().__file__).parent.parent / "data"


class _FrozenDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.datetime(2024, 9, 1, 10, 30, tzinfo=tz)

    @classmethod
    def today(cls) -> Any:
        return cls.now()


def _freeze_clock(names: Json) -> None:
    """Let a module live at the time that BFCL's trading class lives at."""
    if names.get("datetime") is datetime:
        names["datetime"] = types.SimpleNamespace(datetime=_FrozenDatetime)
    elif names.get("datetime") is datetime.datetime:
        names["datetime"] = _FrozenDatetime


def _read_lines(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# --- Function documents to JSON Schema.


def _describe(document: Json) -> Json:
    """Translate a document to a schema that restricts nothing but types."""
    kind = document.get("type", "any")
    schema: Json = {} if kind == "any" else {"type": _TYPES.get(kind, kind)}
    if "description" in document:
        schema["description"] = re.sub(r"\s*\[Enum\]:.*", "", document["description"]).strip()
    if "items" in document:
        schema["items"] = _describe(document["items"])
    if "properties" in document:
        parts = document["properties"].items()
        schema["properties"] = {name: _describe(part) for name, part in parts}
    return schema


def _describe_output(document: Json, annotation: Any) -> Json | None:
    """Translate a result's document, which also writes a plain list as an object."""
    schema = _describe(document)
    parts = list(schema.get("properties", {}).values())
    if get_origin(annotation) is list:
        alone = len(parts) == 1 and parts[0].get("type") == "array"
        return parts[0] if alone else {"type": "array", "items": schema}
    return schema if parts else None


def _restrict(document: Json, name: str) -> Json:
    """Translate a document to a schema with all that it says about the allowed values."""
    schema = _describe(document)
    # The documents write a missing value as the string "None".
    if document.get("default", "None") != "None":
        schema["default"] = document["default"]
    if schema.get("type") == "object":
        parts = document.get("properties", {}).items()
        schema["properties"] = {key: _restrict(part, key) for key, part in parts}
        schema["required"] = document.get("required", [])
        schema["additionalProperties"] = False
    value = schema.get("items", schema)
    text = document.get("description", "")
    if value.get("type") == "string" and (choices := _find_choices(text)):
        value["enum"] = choices
    elif value.get("type") in ("integer", "number"):
        if limits := _RANGE.search(text):
            value["minimum"], value["maximum"] = map(json.loads, limits.groups())
        if multiple := re.search(r"\bmultiple of (\d+)", text):
            value["multipleOf"] = int(multiple[1])
        if name in _LIMITS:
            value["minimum"], value["maximum"] = _LIMITS[name]
    return schema


def _find_choices(text: str) -> list[str]:
    """Find `[Enum]: ["a", "b"]`, `[Enum]: a, b`, `options: a, b.`, `(a/b)` or `'a' for ..`."""
    if marked := _ENUM.search(text):
        if marked[1].startswith("["):
            return [str(each) for each in json.loads(marked[1])]
        return [each.strip() for each in marked[1].split(",")]
    if slashed := re.search(r"\((\w+(?:/\w+)+)\)", text):
        return slashed[1].split("/")
    return re.findall(r"'(\w+)' for ", text)


def _find_problem(schema: Json, arguments: Json) -> str | None:
    """Return why the arguments must not reach a method; types were checked before they came."""
    for name, value in arguments.items():
        part = schema["properties"].get(name)
        if part is None:
            return f"unknown parameter {name!r}"
        if isinstance(value, dict) and "properties" in part:
            return _find_problem(part, value)
        if isinstance(value, int | float):
            low, high = part.get("minimum", -(2**63)), part.get("maximum", 2**63)
            if not low <= value <= high:
                return f"parameter {name!r} must be from {low} to {high}"
    return None


# --- Initial states. Some of BFCL's items hold shapes that its own methods stumble over.


def _find_texts(body: Any) -> list[str]:
    if isinstance(body, str):
        return [body]
    parts = body.values() if isinstance(body, dict) else body
    return [text for part in parts for text in _find_texts(part)]


def _repair_messages(scenario: Json) -> None:
    """Give each message one receiver and one text, and make the next user ID a free one."""
    if "inbox" in scenario:
        pairs = [pair for message in scenario["inbox"] for pair in message.items()]
        scenario["inbox"] = [{user: text} for user, body in pairs for text in _find_texts(body)]
    users = " ".join(scenario.get("user_map", {}).values())
    taken = [int(number) for number in re.findall(r"\bUSR(\d+)\b", users)]
    scenario["user_count"] = max([scenario.get("user_count", 4), *taken])


def _repair_tickets(scenario: Json) -> None:
    """Give each ticket the documented fields, and make the next ticket ID a free one."""
    tickets = []
    for ticket in scenario.get("ticket_queue", []):
        if len(ticket) == 1:
            ((key, fields),) = ticket.items()
            ticket = {"id": key, **fields}
        texts = [ticket[k] for k in ("title", "subject", "issue", "description") if k in ticket]
        fields = {"title": texts[0], "description": texts[-1], "status": "Open", "priority": 1}
        fields |= {"created_by": scenario.get("current_user", "Michael Thompson"), **ticket}
        tickets.append({**fields, "id": int(re.sub(r"\D", "", str(ticket["id"])))})
    counter, ids = scenario.get("ticket_counter", 1), {ticket["id"] for ticket in tickets}
    scenario |= {
        "ticket_queue": tickets,
        "ticket_counter": max(ids) + 1 if counter in ids else counter,
    }


def _repair_orders(scenario: Json) -> None:
    """Put the order type, which lies between the orders, into them."""
    orders = scenario.get("orders", {})
    order_type = orders.pop("order_type", None)
    for key, order in orders.items():
        order |= {"id": int(key), "order_type": order_type, "amount": order.pop("num_shares")}
    # The default orders hold the number that the scenarios count from.
    scenario["order_counter"] += 1


_REPAIRS: dict[str, Callable[[Json], object]] = {
    "MessageAPI": _repair_messages,
    "TicketAPI": _repair_tickets,
    "TradingBot": _repair_orders,
    # Hardly any booking can be read by the methods; a session makes its own.
    "TravelAPI": lambda scenario: scenario.update(booking_record={}),
    # Stored under text keys, where the methods look for numbers.
    "TwitterAPI": lambda scenario: scenario.pop("comments", None),
}


def _find_error(content: Any) -> tuple[Any, bool]:
    """Recognise an error in the forms that the classes give it, and give it one form."""
    if isinstance(content, list) and len(content) == 1:
        (only,) = content
        if isinstance(only, str) and only.startswith("Error: "):
            content = {"error": only.removeprefix("Error: ")}
        elif isinstance(only, dict) and "error" in only:
            content = only
    if not isinstance(content, dict) or "error" not in content:
        return content, False
    # The order in which a set prints differs between processes.
    content["error"] = _SET_TEXT.sub(
        lambda match: "{" + ", ".join(sorted(match[1].split(", "))) + "}", str(content["error"])
    )
    return content, True


class _JsonWriter:
    """Writes objects as JSON; the second mention of an object is `{"$ref": path of the first}`."""

    def __init__(self) -> None:
        self._paths: dict[int, str] = {}

    def write(self, value: Any, path: str = "", owner: Any = None) -> Any:
        """Return as JSON what was found at `path` inside the object `owner`."""
        if value is None or isinstance(value, str | bool):
            return value
        if hasattr(value, "__float__"):
            return _write_number(value)
        if isinstance(value, random.Random):
            return hashlib.sha256(repr(value.getstate()).encode()).hexdigest()[:16]
        if isinstance(value, set):
            return sorted(value)
        if hasattr(value, "__complex__"):
            msg = f"the result {value} is not a real number"
            raise TypeError(msg)
        if id(value) in self._paths:
            return {"$ref": self._paths[id(value)]}
        self._paths[id(value)] = path
        if isinstance(value, list | tuple):
            return [self.write(each, f"{path}/{i}", owner) for i, each in enumerate(value)]
        parts = value if isinstance(value, dict) else _attributes(value, owner)
        inner = owner if isinstance(value, dict) else value
        return {str(key): self.write(part, f"{path}/{key}", inner) for key, part in parts.items()}


def _write_number(value: Any) -> int | float:
    if not -sys.float_info.max <= value <= sys.float_info.max:
        msg = "the result is too large or not a number"
        raise OverflowError(msg)
    return value if isinstance(value, int | float) else float(value)


def _attributes(value: object, owner: object) -> Json:
    """Return what an object holds, without a link back to the object that it lies in."""
    parts = vars(value).items()
    return {k: v for k, v in parts if k not in _NOT_STATE and (v is None or v is not owner)}


def main(arguments: list[str]) -> None:
    """Print the data folder, or how many tools each of the named classes has."""
    if arguments == ["data"]:
        sys.stdout.write(f"{_data_folder()}\n")
        return
    counts = {name: len(World(name).tools()) for name in arguments}
    counts["all_classes"] = sum(counts.values())
    sys.stdout.writelines(f"{name:<18}{count:>5} tools\n" for name, count in counts.items())


if __name__ == "__main__":
    main(sys.argv[1:])
