"""What all schemas share: frozen models, canonical JSON, content hashes, JSON pointers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Base of every object in the data flow: immutable, and no unknown field is ever dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> dict[str, Any]:
        """Return the plain JSON form, the only form that enters graph state and files."""
        return self.model_dump(mode="json")


_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def canonical_json(value: Any) -> str:
    """Serialise `value` so that equal values give equal text.

    Raises:
        ValueError: `value` holds NaN or an infinity.
        TypeError: `value` holds something that is not JSON.
    """
    return _CANONICAL.encode(value)


def content_hash(value: Any, length: int = 16) -> str:
    """Return the first `length` hex digits of the SHA-256 of `value`'s canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


def iterate_leaves(value: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (JSON pointer, scalar) for every leaf of `value`, in document order."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from iterate_leaves(item, f"{pointer}/{escape_key(str(key))}")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from iterate_leaves(item, f"{pointer}/{number}")
    else:
        yield pointer, value


def resolve_pointer(value: Any, pointer: str) -> Any:
    """Return the part of `value` that `pointer` names (RFC 6901).

    Raises:
        LookupError: there is no such part.
    """
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value[key]
        elif isinstance(value, list) and key.isdigit():
            value = value[int(key)]
        else:
            raise KeyError(pointer)
    return value


def pointer_field(pointer: str) -> str:
    """Return the last part of `pointer` that names a field, skipping list positions."""
    parts = [part for part in pointer.split("/")[1:] if not part.isdigit()]
    return parts[-1].replace("~1", "/").replace("~0", "~") if parts else ""


def iterate_values(content: Any, *, private: bool = True) -> Iterator[tuple[str, str, str, Any]]:
    """Return (pointer, field, container, value) for every scalar and list of scalars.

    Keys of an object of objects count as values too, under the object's own name: in
    `{"stocks": {"AAPL": {...}}}` the value `"AAPL"` is a `stocks`.

    Args:
        content: JSON.
        private: Also what lies under keys that start with `_`.
    """
    found: list[tuple[str, str, str, Any]] = []
    _collect_values(content, "", "", "", found, "" if private else "_")
    return iter(found)


def _collect_values(
    value: Any,
    pointer: str,
    container: str,
    field: str,
    found: list[tuple[str, str, str, Any]],
    hidden: str,
) -> None:
    """Append to one list: nested generators would pass each value up through every level."""
    if isinstance(value, dict):
        keyed = len(value) > 0 and all(isinstance(item, dict) for item in value.values())
        for key, item in value.items():
            name = str(key)
            if hidden and name.startswith(hidden):
                continue
            inner = f"{pointer}/{escape_key(name)}"
            if keyed and field:
                found.append((inner, field, container, key))
            _collect_values(item, inner, field, name, found, hidden)
    elif isinstance(value, list):
        if value and all(not isinstance(item, dict | list) for item in value):
            found.append((pointer, field, container, value))
        for number, item in enumerate(value):
            _collect_values(item, f"{pointer}/{number}", container, field, found, hidden)
    elif value is not None:
        found.append((pointer, field, container, value))


def find_choices(content: Any, pointer: str) -> list[tuple[int, int]]:
    """Return (position, length) for every list of several items that `pointer` passes through."""
    choices = []
    for part in pointer.split("/")[1:]:
        if isinstance(content, list):
            if len(content) > 1:
                choices.append((int(part), len(content)))
            content = content[int(part)]
        elif isinstance(content, dict):
            content = content.get(part.replace("~1", "/").replace("~0", "~"))
    return choices


def escape_key(key: str) -> str:
    """Return `key` as a part of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def result_text(content: Any) -> str:
    """Return a tool result as the text of its message: a string as it is, all else as JSON."""
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def parse_result(text: str) -> Any:
    """Return the content that `result_text` wrote."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
