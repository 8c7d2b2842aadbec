"""What the offline reasoner knows at one step: request, results, references and critiques."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from funreason_agents.models.offline.language import (
    read_ordinals,
    read_same,
    read_values,
    split_requests,
)
from funreason_agents.models.offline.likeness import (
    ENOUGH,
    Weighted,
    effects_of,
    find_request,
    likeness,
)
from funreason_agents.schemas.base import iterate_values, parse_result
from funreason_agents.schemas.words import content_words, humanize

_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LEAST_WORDS = 3
_DECLINED = re.compile(r"(?i)\?|\bcannot\b|\bcan't\b|\bunable\b|\bnot able\b|\bnone of my\b")


@dataclass(frozen=True)
class Seen:
    """A value of a result, and where it stands."""

    field: str
    container: str
    value: Any
    step: int
    """Step of this turn; negative for earlier turns."""
    tool: str


@dataclass(frozen=True)
class Call:
    """A call that was answered."""

    name: str
    args: dict[str, Any]
    content: Any
    failed: bool


@dataclass(frozen=True)
class Scene:
    """What the reasoner knows at one step."""

    query: str
    """The request; where it completes one that is still open, that one as well."""
    asked: str
    """The message that says what is wanted: this one, or the one that it completes."""
    calls: list[Call]
    """Calls of this turn that succeeded."""
    failed: list[Call]
    """Calls that failed since the last one that succeeded: it may have changed what they met."""
    made: int
    """How many calls this turn has made, the failed ones included."""
    values: list[Seen]
    labelled: list[tuple[str, Any]]
    """Labelled values of the request."""
    aside: list[tuple[str, Any]]
    """Labelled values of the text around a long request."""
    same: dict[str, Any]
    """By label, the values that the request refers to as the same as before."""
    picked: list[tuple[str, list[Seen]]]
    """For each item that is referred to by its place in a list: the noun, and its values."""
    nouns: frozenset[str]
    """The labels of all parameters."""
    critiques: list[dict[str, Any]]
    parallel: bool


def properties(tool: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the parameters of a bound tool."""
    return dict(tool.get("parameters", {}).get("properties", {}))


def read_scene(
    notes: dict[str, Any], messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]]
) -> Scene:
    """Read the scene off the messages alone."""
    asked = [n for n, message in enumerate(messages) if isinstance(message, HumanMessage)]
    before, now = _pair_calls(messages[: asked[-1]]), _pair_calls(messages[asked[-1] :])
    earlier, calls = ([c for c in each if not c.failed] for each in (before, now))
    last = max((n for n, call in enumerate(now) if not call.failed), default=-1)
    named = [tool for tool in tools if tool["name"] in (notes.get("composition") or [])]
    labels = frozenset(humanize(name) for tool in tools for name in properties(tool))
    parts = _read_request(messages, asked, tools, named or tools)
    request = "\n\n".join(request for request, _ in reversed(parts))
    return Scene(
        query=request,
        asked=parts[-1][0],
        calls=calls,
        failed=now[last + 1 :],
        made=len(now),
        values=[
            Seen(field, container, value, step, call.name)
            for step, call in enumerate([*earlier, *calls], start=-len(earlier))
            for _, field, container, value in iterate_values(call.content)
        ],
        labelled=[pair for text, _ in parts for pair in read_values(text, labels)],
        aside=[pair for _, text in parts for pair in read_values(text, labels)],
        same=_find_same(request, labels, earlier),
        picked=[
            (noun, _pick_item(position, noun, earlier))
            for position, noun in dict.fromkeys(read_ordinals(request))
        ],
        nouns=labels,
        critiques=list(notes.get("critiques") or []),
        parallel=bool(notes.get("parallel")),
    )


def _pair_calls(messages: Sequence[BaseMessage]) -> list[Call]:
    """Return the calls that have their result, in the order of the results."""
    asked: dict[str, Any] = {}
    pairs = []
    for message in messages:
        if isinstance(message, AIMessage):
            asked.update({str(call["id"]): call for call in message.tool_calls})
        elif isinstance(message, ToolMessage):
            call = asked.get(message.tool_call_id, {})
            pairs.append(
                Call(
                    name=str(message.name or call.get("name", "")),
                    args=dict(call.get("args", {})),
                    content=parse_result(str(message.content)),
                    failed=message.status == "error",
                )
            )
    return pairs


def _read_request(
    messages: Sequence[BaseMessage],
    asked: list[int],
    tools: Sequence[dict[str, Any]],
    meant: Sequence[dict[str, Any]],
) -> list[tuple[str, str]]:
    """Return (request, text around it) of this message and those that it completes, newest first.

    A message completes the one before if that led to no call, only to a question or a refusal,
    and if it does not ask for anything a tool does itself.
    """
    effects, focus = effects_of(tools), effects_of(meant)
    parts = [find_request(str(messages[asked[-1]].content), focus)]
    for start, end in zip(asked[-2::-1], asked[:0:-1], strict=False):
        said = [m for m in messages[start:end] if isinstance(m, AIMessage | ToolMessage)]
        acted = any(isinstance(m, ToolMessage) or m.tool_calls for m in said)
        is_open = bool(said) and not acted and _DECLINED.search(_text(said[-1])) is not None
        if not is_open or _asks_for_something(parts[-1][0], effects):
            break
        parts.append(find_request(str(messages[start].content), focus))
    return parts


def _asks_for_something(text: str, effects: Sequence[Weighted]) -> bool:
    """Whether a text is a request of its own; "please go on" is none."""
    wanted = [content_words(effect) for effect, _ in split_requests(_STRING.sub("", text))]
    asks = any(len(words) >= _LEAST_WORDS for words in wanted)
    return asks or max(likeness(text, effects), default=0.0) >= ENOUGH


def _text(message: BaseMessage) -> str:
    return message.content if isinstance(message.content, str) else str(message.text)


def _find_same(request: str, labels: frozenset[str], earlier: Sequence[Call]) -> dict[str, Any]:
    """Return the latest value that earlier calls had under each label that is referred to."""
    used = {humanize(name): value for call in earlier for name, value in call.args.items()}
    return {label: used[label] for label in read_same(request, labels) if label in used}


def _pick_item(position: int, noun: str, earlier: Sequence[Call]) -> list[Seen]:
    """Return the values of one item of the latest list; one of the noun's own kind goes first."""
    fitting: list[tuple[tuple[bool, int], list[Seen]]] = []
    for step, call in enumerate(earlier, start=-len(earlier)):
        for key, items in _lists(call.content, ""):
            if position >= len(items):
                continue
            item = items[position]
            shown = {key: [item] if isinstance(item, dict | list) else item}
            values = [
                Seen(field, container, value, step, call.name)
                for _, field, container, value in iterate_values(shown)
            ]
            words = {word for seen in values for word in content_words(f"{key} {seen.field}")}
            fitting.append(((bool(content_words(noun) & words), step), values))
    best = max((rank for rank, _ in fitting), default=None)
    return [seen for rank, values in fitting if rank == best for seen in values]


def _lists(content: Any, key: str) -> Iterator[tuple[str, list[Any]]]:
    """Yield the outermost lists of several items."""
    if isinstance(content, dict):
        for name, item in content.items():
            yield from _lists(item, str(name))
    elif isinstance(content, list) and len(content) > 1:
        yield key, content
    elif isinstance(content, list):
        for item in content:
            yield from _lists(item, key)
