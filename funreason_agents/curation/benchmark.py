"""Reading a public benchmark's questions and gold calls, to compare training records with them."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import Field

from funreason_agents.errors import ConfigurationError, boundary
from funreason_agents.schemas.base import Frozen, canonical_json

NormalCall: TypeAlias = tuple[str, str]
"""A call as (tool name, canonical JSON of its arguments)."""

_PATTERN = "BFCL_v4_multi_turn_*.json"
_HELP = "pass the folder `bfcl_eval/data` of an installed `bfcl-eval` package"


class Benchmark(Frozen):
    """The public test items that records are compared with. Ids are `<item>/<turn from 0>`."""

    name: str
    questions: dict[str, str]
    """What the user says, by id; turns in which the user says nothing are left out."""
    calls: dict[str, tuple[NormalCall, ...]]
    """The gold calls of each turn, by id, without those that are `unparsed`."""
    unparsed: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Gold calls that are no call of a named function with literal arguments, by id."""


def load_bfcl(data_dir: Path) -> Benchmark:
    """Read BFCL's multi-turn questions and gold calls from the data folder of its package.

    Gold calls are parsed as syntax and never executed.

    Args:
        data_dir: The folder `bfcl_eval/data` of an installed `bfcl-eval` package.

    Raises:
        ConfigurationError: `data_dir` is not that folder, or its files have another form.
    """
    paths = sorted(data_dir.glob(_PATTERN))
    documents = sorted((data_dir / "multi_turn_func_doc").glob("*.json"))
    answers = [data_dir / "possible_answer" / path.name for path in paths]
    if not paths or not documents or not all(path.is_file() for path in answers):
        msg = f"{str(data_dir)!r} does not hold BFCL's multi-turn data; {_HELP}"
        raise ConfigurationError(msg)
    with boundary(ConfigurationError, f"read BFCL's data in {str(data_dir)!r} ({_HELP})"):
        calls, unparsed = _load_calls(answers, _load_parameters(documents))
        return Benchmark(
            name="BFCL v4 multi-turn",
            questions=_load_questions(paths),
            calls=calls,
            unparsed=unparsed,
        )


def normalise_call(name: str, arguments: dict[Any, Any]) -> NormalCall:
    """Return a call in the form in which calls are compared."""
    return name, canonical_json(_normalise_value(arguments))


def _normalise_value(value: Any) -> Any:
    """Return `value` so that 5 and 5.0, and a tuple and a list, become the same JSON."""
    if isinstance(value, dict):
        return {str(key): _normalise_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_normalise_value(item) for item in value]
    if isinstance(value, float):
        finite = int(value) if value.is_integer() else value
        return finite if math.isfinite(value) else str(value)
    return value


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines if line.strip())


def _load_questions(paths: list[Path]) -> dict[str, str]:
    questions = {}
    for item in (item for path in paths for item in _read_lines(path)):
        for number, messages in enumerate(item["question"]):
            said = [message["content"] for message in messages if message["role"] == "user"]
            # A turn that only hands a held-out function over has no message.
            if said:
                questions[f"{item['id']}/{number}"] = "\n".join(said)
    return questions


def _load_parameters(paths: list[Path]) -> dict[str, tuple[str, ...]]:
    """Return the parameter names of each function whose documents agree on them."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for document in (document for path in paths for document in _read_lines(path)):
        names = tuple(document["parameters"]["properties"])
        found.setdefault(document["name"], set()).add(names)
    return {name: min(variants) for name, variants in found.items() if len(variants) == 1}


def _load_calls(
    paths: list[Path], parameters: dict[str, tuple[str, ...]]
) -> tuple[dict[str, tuple[NormalCall, ...]], dict[str, tuple[str, ...]]]:
    calls, unparsed = {}, {}
    for item in (item for path in paths for item in _read_lines(path)):
        for number, texts in enumerate(item["ground_truth"]):
            turn_id = f"{item['id']}/{number}"
            parsed = [(text, _parse_call(text, parameters)) for text in texts]
            calls[turn_id] = tuple(call for _, call in parsed if call is not None)
            if wrong := tuple(text for text, call in parsed if call is None):
                unparsed[turn_id] = wrong
    return calls, unparsed


def _parse_call(text: str, parameters: dict[str, tuple[str, ...]]) -> NormalCall | None:
    """Return the call that `text` writes, or None if it is none with literal arguments."""
    try:
        node = ast.parse(text.strip(), mode="eval").body
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            return None
        names = parameters.get(node.func.id, ())
        values = zip(names, map(ast.literal_eval, node.args), strict=False)
        arguments: dict[str | None, Any] = dict(values)
        arguments.update({item.arg: ast.literal_eval(item.value) for item in node.keywords})
        # Fewer than were written: one was given twice, or has no parameter to go to.
        if None in arguments or len(arguments) < len(node.args) + len(node.keywords):
            return None
        return normalise_call(node.func.id, arguments)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None
