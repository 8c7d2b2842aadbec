"""Calls that somebody wrote as text, in whatever notation, as far as they can be read safely.

Only `json` and the syntax tree of `ast` are used. What is cut off is never completed: the missing
part could have held another argument.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from funreason_agents.models.text_calls import MOST_CHARACTERS, Call, find_text_calls

_CONSTANTS = {"true": True, "false": False, "null": None, "none": None}
_NAMES = ("name", "function", "tool", "tool_name", "action")
_ARGUMENTS = ("arguments", "parameters", "args", "input", "action_input")
_TAG = re.compile(
    r"</?(?:tool_calls?|function_calls?|tools?|answer)>|\[/?TOOL_CALLS?\]|```\w*", re.IGNORECASE
)
_ACTION = re.compile(r"Action:\s*(?P<name>[\w.]+)\s*\nAction Input:\s*(?P<data>\{.*\})", re.DOTALL)
_OPENING = re.compile(r"([A-Za-z_][\w.]*)\s*\(")
_PAIR = re.compile(r"\s*[\"']?([A-Za-z_][\w-]*)[\"']?\s*[=:](?!=)\s*(.*)\Z", re.DOTALL)
_SURE = re.compile(
    r"<tool_call|<function|\[TOOL_CALL|^\s*Action:\s*[\w.]+\s*\nAction Input:"
    r"|\A\s*(?:```\w*\s*)?\[?\s*\{\s*[\"']name[\"']\s*:\s*[\"'][\w.-]+[\"']\s*,"
    r"\s*[\"'](?:arguments|parameters)[\"']",
    re.IGNORECASE | re.MULTILINE,
)
"""What nothing but a call has, whatever it names."""
_MARK = re.compile(
    r"^\s*Action:\s*\w|\A\s*```(?:json|python|tool_\w+)\b"
    r"|\A\s*\[?\s*\{\s*[\"'](?:name|function|tool|action)|\A\s*\[\s*[\w.]+\s*\(",
    re.IGNORECASE | re.MULTILINE,
)
"""What a call may begin with, and an ordinary reply too."""
_BARE = re.compile(r"\A\s*[a-z]\w*(?:\.\w+|_\w+)+\s*\(", re.IGNORECASE)
_GOES_ON = re.compile(r"[^\w\n]*[^\W\d_]+[ \t]+\w")
"""Words on the same line after a closed bracket."""
_NAMED = (
    r"(?<![\w.]){name}\s*\(|[\"'`]{name}[\"'`]|^\s*Action:\s*[`*]*{name}[`*]*\s*(?:$|[\[({{:,])"
)
"""Where a call has its name; in other places it is a word as any other."""
_JOIN = re.compile(r"(?:[\s,;\[\]`*-]|\n\d+[.)]|\b(?:and|then)\b)*", re.IGNORECASE)
_ENDING = re.compile(r"(?:[\s\])}.,;:!`*\"'\u201d\u2019-]|</?\w+>|<\|\w+\|>)*")
_ANNOUNCES = re.compile(
    r"(?:\b(?:i(?:['\u2019]ll| will|['\u2019]m going to| am going to| need to| should| must)?"
    r"|let me)\s+(?:now\s+|first\s+|then\s+)?(?:call|use|run|invoke|execute|try|make)"
    r"(?:\s+the)?(?:\s+(?:tool|function))?|\Acalling)\Z",
    re.IGNORECASE,
)
"""How a sentence goes that ends in a call."""
_MENTION = re.compile(
    r"\b(?:called|used|ran|tried|invoked|executed|made(?:\s+\w+){0,2}\s+(?:calls?|requests?)"
    r"|you (?:can|could|may|might|should|would))\b"
    r"|\b(?:sources?|examples?|e\.g\.?|such as|from|via)\s*:?\Z",
    re.IGNORECASE,
)
"""Words before a call that is only spoken of."""
_CLOSING = {"(": ")", "[": "]", "{": "}"}


def looks_like_call(text: str, offered: Collection[str] | None = None) -> bool:
    """Return whether `text` is meant as a call, readable or not.

    Args:
        text: An answer without its reasoning.
        offered: The offered tools. What has no sign of a call but its beginning (a block of code,
            an object with a name) must name one of them; None: or anything.
    """
    if _SURE.search(text):
        return True
    bare = _BARE.match(text)
    if bare is None and _MARK.search(text) is None:
        return False
    if offered is not None and not any(_is_named(name, text) for name in offered):
        return False
    if bare is None:
        return True
    end = _find_close(text, bare.end() - 1)  # a reply may begin with a call that it speaks of
    return end is None or _GOES_ON.match(text, end + 1) is None


def _is_named(name: str, text: str) -> bool:
    pattern = _NAMED.format(name=re.escape(name))
    return re.search(pattern, text, re.IGNORECASE | re.MULTILINE) is not None


def find_written_calls(
    text: str, offered: Collection[str], made: Collection[Call] = ()
) -> list[Call]:
    """Return the calls that `text` holds; none if there is none or one cannot be read.

    Args:
        text: An answer without its reasoning.
        offered: The offered tools. Text that is nothing but a call may name any tool; after a
            lead-in, only these are looked for.
        made: Calls of the conversation. After a lead-in, one of them is only spoken of.
    """
    if len(text) > MOST_CHARACTERS:
        return []
    calls, _ = find_text_calls(text, set(re.findall(r"[\w.]+", text)))
    if calls:
        return calls
    body = _TAG.sub("\n", text).strip()
    if action := _ACTION.search(body):
        arguments = read_literal(action["data"])
        alone = _ENDING.fullmatch(body, action.end()) is not None
        return [(action["name"], arguments)] if alone and isinstance(arguments, dict) else []
    found = _calls_in(read_literal(body), offered) or _read_calls(body, None)
    if found:
        return found
    told = _read_calls(body, offered)
    return [] if any(call in made for call in told) else told


def is_writable(value: Any) -> bool:
    """Return whether a value can be written as JSON: half a surrogate pair, or infinity, cannot."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        return False
    return True


def read_literal(text: str) -> Any:
    """Return a value written in JSON or Python; None if it is neither (or null)."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return _value_of(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _value_of(node: ast.expr) -> Any:
    if isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) for key in node.keys):
        keys = [str(key.value) for key in node.keys if isinstance(key, ast.Constant)]
        return dict(zip(keys, map(_value_of, node.values), strict=True))
    if isinstance(node, ast.List | ast.Tuple):
        return [_value_of(each) for each in node.elts]
    if isinstance(node, ast.Name) and node.id.lower() in _CONSTANTS:
        return _CONSTANTS[node.id.lower()]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value_of(node.operand)
        if isinstance(value, int | float):
            return -value
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float | bool | None):
        return node.value
    msg = "no literal"
    raise ValueError(msg)


def _calls_in(loaded: Any, offered: Collection[str]) -> list[Call]:
    calls = []
    for each in loaded if isinstance(loaded, list) else [loaded]:
        call = _call_in(each, offered)
        if call is None:
            return []
        calls.append(call)
    return calls


def _call_in(each: Any, offered: Collection[str]) -> Call | None:
    if not isinstance(each, dict):
        return None
    inner = each["function"] if isinstance(each.get("function"), dict) else each
    name = next((inner[key] for key in _NAMES if isinstance(inner.get(key), str)), None)
    arguments = next((inner[key] for key in _ARGUMENTS if key in inner), None)
    if name is None and len(inner) == 1:  # {"tool": {...}}
        name, arguments = next(iter(inner.items()))
        name = name if name in offered else None
    if isinstance(arguments, str):
        arguments = read_literal(arguments)
    return (name, arguments) if name and isinstance(arguments, dict) else None


def _read_calls(text: str, offered: Collection[str] | None) -> list[Call]:
    """Read `name(key=value, ...)` calls; with `offered`, those of these tools after a lead-in."""
    calls: list[Call] = []
    gaps: list[str] = []
    position = 0
    for match in _OPENING.finditer(text):
        if match.start() < position or (offered is not None and match.group(1) not in offered):
            continue
        end = _find_close(text, match.end() - 1)
        arguments = _read_arguments(text[match.end() : end]) if end else None
        if end is None or arguments is None:
            return []
        calls.append((match.group(1), arguments))
        gaps.append(text[position : match.start()])
        position = end + 1
    gaps.append(text[position:])
    if offered is None:
        return [] if re.search(r"[^\s,;\[\]]", "".join(gaps)) else calls
    between = all(_JOIN.fullmatch(gap) for gap in gaps[1:-1])
    return calls if between and _leads_in(gaps[0]) and _ENDING.fullmatch(gaps[-1]) else []


def _leads_in(before: str) -> bool:
    """Return whether words announce a call, by a sentence of their own or by "I call"."""
    head = before.rstrip(" \t[`*\"'(\u201c\u2018-")
    *_, last = re.split(r"(?<=[.!?])\s+|\n+", head.strip())
    if _MENTION.search(last):
        return False
    goes_on = re.search(r"[\w,?)\]]\Z", head) is not None
    return not goes_on or _ANNOUNCES.search(last) is not None


def _find_close(text: str, start: int) -> int | None:
    """Return where the bracket at `start` is closed, heeding quotes; None if it is not."""
    for place, depth in _depths(text, start):
        if depth == 0:
            return place
    return None


def _depths(text: str, start: int) -> Iterator[tuple[int, int]]:
    """Yield (place, open brackets after it) of each character outside quotes."""
    open_brackets: list[str] = []
    quote = ""
    for place in range(start, len(text)):
        character = text[place]
        if quote:
            quote = "" if character == quote and text[place - 1] != "\\" else quote
            continue
        before = text[place - 1] if place else " "
        if character == '"' or (character == "'" and not before.isalnum()):
            quote = character
            continue
        if character in _CLOSING:
            open_brackets.append(_CLOSING[character])
        elif open_brackets and character == open_brackets[-1]:
            open_brackets.pop()
        yield place, len(open_brackets)


def _read_arguments(text: str) -> dict[str, Any] | None:
    """Read `key=value` pairs; None if one has no name or cannot be told from the next."""
    commas = [place for place, depth in _depths(text, 0) if depth == 0 and text[place] == ","]
    edges = [-1, *commas, len(text)]
    parts = [text[left + 1 : right] for left, right in itertools.pairwise(edges)]
    arguments: dict[str, Any] = {}
    for part in parts:
        if not part.strip():
            continue
        pair = _PAIR.match(part)
        if pair is None or pair.group(1) in arguments:
            return None
        value = pair.group(2).strip()
        read = read_literal(value)
        if read is None and value.lower() not in _CONSTANTS:
            if not value or re.search(r"[\"()\[\]{}]", value):
                return None
            read = value.strip("'")  # an unquoted string
        arguments[pair.group(1)] = read
    return arguments
