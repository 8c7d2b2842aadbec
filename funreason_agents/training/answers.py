"""What a student wrote, read strictly: whether it kept to the template decides its reward.

Text is read with `json` and `ast` alone and never evaluated. For models that are only used, not
trained, `funreason_agents.models.text_calls` reads more forms.
"""

from __future__ import annotations

import ast
import json
from typing import Any, NamedTuple

END_OF_TURN = "<|im_end|>"
THINK, END_THINK = "<think>", "</think>"
CALL, END_CALL = "<tool_call>", "</tool_call>"
THOUGHT_MARKS = (THINK, END_THINK, "<|im_")
"""What may not stand in reasoning."""
WORD_MARKS = (*THOUGHT_MARKS, CALL, END_CALL, "<tool_response>", "</tool_response>")
"""What may not stand in the words of an answer."""
MOST_CHARACTERS = 50_000
"""A longer text counts as malformed: a parser could be made to run out of memory."""

_CONSTANTS = {"true": True, "false": False, "null": None}


class ParsedCall(NamedTuple):
    """A call that was written, whether or not such a tool exists."""

    name: str
    arguments: dict[str, Any]


class ParsedAnswer(NamedTuple):
    """An answer taken apart."""

    reasoning: str | None
    """What stands between the think tags; None without a think block, or if it is empty."""
    content: str
    """The words beside reasoning and calls; all after the think block if that is malformed."""
    tool_calls: tuple[ParsedCall, ...]
    """Empty if any call is malformed."""
    well_formed: bool
    """Whether the text is exactly what a chat template renders for these parts."""


def parse_answer(text: str) -> ParsedAnswer:
    r"""Take apart one answer in the form of `templates/tools.jinja`.

    The form is `<think>\nREASONING\n</think>\n\n`, which may be left out, or be empty, as the
    templates of Qwen3 write it where a message has no reasoning, then words, then calls,
    each `<tool_call>\n{"name": ..., "arguments": {...}}\n</tool_call>` on lines of its own, then,
    if it was not cut off by the decoding, the end-of-turn token. Nothing is forgiven: another
    line break, words after a call, or a second think block make the answer malformed.

    Args:
        text: All that was generated after the header of the assistant's turn.
    """
    body = text.removesuffix("\n").removesuffix(END_OF_TURN)
    if len(body) > MOST_CHARACTERS:
        return ParsedAnswer(None, body, (), well_formed=False)
    reasoning, rest = None, body
    if body.startswith(f"{THINK}\n"):
        thought, closed, after = body.removeprefix(f"{THINK}\n").partition(f"\n{END_THINK}\n\n")
        if closed and (not thought or _is_plain(thought, THOUGHT_MARKS)):
            reasoning, rest = thought or None, after
    words, calls = _split_calls(rest)
    if calls is None or not (_is_plain(words, WORD_MARKS) if words else calls):
        return ParsedAnswer(reasoning, rest, (), well_formed=False)
    return ParsedAnswer(reasoning, words, calls, well_formed=True)


def _is_plain(words: str, marks: tuple[str, ...]) -> bool:
    """Return whether the template would write these words as they are."""
    return bool(words) and words == words.strip() and not any(mark in words for mark in marks)


def _split_calls(text: str) -> tuple[str, tuple[ParsedCall, ...] | None]:
    """Return the words before the first call, and the calls, or None if one is malformed."""
    start = text.find(CALL)
    if start < 0:
        return text, ()
    words, blocks = text[:start], text[start:]
    if words and not words.endswith("\n"):
        return text, None
    calls = []
    for block in blocks.split(f"\n{END_CALL}\n{CALL}\n"):
        call = _read_call(block.removeprefix(f"{CALL}\n").removesuffix(f"\n{END_CALL}"))
        if call is None:
            return text, None
        calls.append(call)
    opened, closed = blocks.startswith(f"{CALL}\n"), blocks.endswith(f"\n{END_CALL}")
    return words.removesuffix("\n"), tuple(calls) if opened and closed else None


def _read_call(text: str) -> ParsedCall | None:
    try:
        call = json.loads(text, parse_constant=_refuse, object_pairs_hook=_read_object)
    except (ValueError, RecursionError):
        return None
    if not isinstance(call, dict) or list(call) != ["name", "arguments"] or text != text.strip():
        return None
    name, arguments = call["name"], call["arguments"]
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        return None
    return ParsedCall(name, arguments)


def _refuse(constant: str) -> Any:
    msg = f"{constant} is not JSON"
    raise ValueError(msg)


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse what says two things of one key."""
    if len(read := dict(pairs)) < len(pairs):
        msg = "a key is given twice"
        raise ValueError(msg)
    return read


def parse_python_calls(text: str) -> tuple[ParsedCall, ...] | None:
    """Read a list of calls in Python's notation, such as `[f(a=1, b='x'), g()]`.

    This is the notation of EGPO and BFCL (arXiv 2508.05118, section 2 and figure 8). Arguments are
    named and literal; JSON's `true`, `false` and `null` are read too, tuples become lists.

    Returns:
        The calls; None if the text is no such list, or an empty one.
    """
    text = text.strip()
    if not text.startswith("[") or not text.endswith("]") or len(text) > MOST_CHARACTERS:
        return None
    try:
        body = ast.parse(text, mode="eval").body
        calls = tuple(_read_python_call(each) for each in getattr(body, "elts", ()))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return calls or None


def _read_python_call(node: ast.expr) -> ParsedCall:
    if not isinstance(node, ast.Call) or node.args:
        msg = "no call with named arguments"
        raise ValueError(msg)
    arguments: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in arguments:
            msg = "arguments must have names of their own"
            raise ValueError(msg)
        arguments[keyword.arg] = _read_literal(keyword.value)
    return ParsedCall(_read_name(node.func), arguments)


def _read_name(node: ast.expr) -> str:
    """Return the name of what is called: a name, or names joined by dots."""
    if isinstance(node, ast.Attribute):
        return f"{_read_name(node.value)}.{node.attr}"
    if isinstance(node, ast.Name):
        return node.id
    msg = "what is called has no name"
    raise ValueError(msg)


def _read_literal(node: ast.expr) -> Any:
    """Return the value of a literal as JSON has it.

    Raises:
        ValueError: it is no literal, or JSON has no such value.
    """
    constant = _ConstantNames().visit(node)
    try:
        return json.loads(json.dumps(ast.literal_eval(constant), allow_nan=False))
    except TypeError as exc:
        raise ValueError(str(exc)) from exc


class _ConstantNames(ast.NodeTransformer):
    """JSON's constants, which a model writes within Python too, as Python's."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in _CONSTANTS:
            msg = f"{node.id} is no literal"
            raise ValueError(msg)
        return ast.copy_location(ast.Constant(_CONSTANTS[node.id]), node)
