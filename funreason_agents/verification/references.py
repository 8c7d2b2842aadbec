"""Values that a user only refers to: "the same city as before", "the second one you listed".

`reference_grammar` has the words of both kinds: the phrases that can be written, and a tolerant
reader, for what models make of them. A reference counts only if the conversation leaves one
reading: the latest value under the parameter's label among the arguments of earlier calls, or an
item of the latest result that held a list of several. What stands in quotes is never a reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from funreason_agents.schemas.base import escape_key, iterate_values
from funreason_agents.schemas.words import content_words, humanize, match_field, split_identifier
from funreason_agents.verification.derivations import Facts
from funreason_agents.verification.reference_grammar import (
    GENERIC,
    IDENTITY,
    Span,
    find_items,
    find_same,
    names_before,
    write_items,
    write_same,
)
from funreason_agents.verification.values import (
    is_number,
    is_trivial,
    same_value,
    text_holds,
    to_plain,
)

_NAMING = IDENTITY | {"name", "title", "label", "username", "email", "symbol", "path", "file"}
"""Last words of fields that a thing goes by: "the second one" is no word for its colour."""
_FIT = 0.6
"""Least score of `match_field` at which an item's field is what a parameter takes."""


@dataclass(frozen=True)
class _Read:
    """A reference as it stands in a text, and the one value it leads to, if there is one."""

    span: Span
    values: tuple[Any, ...]
    """Its value, or nothing where it leads nowhere or to several."""
    labelled: bool
    """It says itself which parameter it is for."""


def plan_reference(parameter: str, value: Any, before: Facts) -> str | None:
    """Return a phrase that stands for `value` at this point of the conversation, or None.

    Args:
        parameter: Name of the parameter, or the words of it.
        value: The value, a leaf or a whole list.
        before: The conversation so far.
    """
    for phrase, meant in _phrases(parameter, before):
        if same_value(meant, value) and resolves(phrase, parameter, value, before):
            return phrase
    return None


def find_referable(parameter: str, before: Facts, *, listed: bool = False) -> list[Any]:
    """Return the values for `parameter` that a phrase can stand for: the latest one, then items.

    Args:
        parameter: Name of the parameter, or the words of it.
        before: The conversation so far.
        listed: Only items of the latest list.
    """
    found: list[Any] = []
    for phrase, meant in (_item_phrases if listed else _phrases)(parameter, before):
        known = any(same_value(meant, other) for other in found)
        if not known and resolves(phrase, parameter, meant, before):
            found.append(meant)
    return found


def resolves(query: str, parameter: str, value: Any, before: Facts) -> bool:
    """Return whether `query` holds a reference for `parameter` that leads to `value` and no other.

    See `find_references` for the arguments.
    """
    return bool(find_references(query, parameter, value, before))


def find_references(
    query: str, parameter: str, value: Any, before: Facts, *, bare: bool = True
) -> tuple[Span, ...]:
    """Return where the references of `resolves` stand in `to_plain(query)`; empty if none leads.

    Args:
        query: The user utterance.
        parameter: Name of the parameter, or the words of it.
        value: The value, a leaf or a whole list.
        before: The conversation before the query.
        bare: Read "the second one" alone too; it may also mean a result that is still to come.
    """
    if is_trivial(value) or not before.sources:
        return ()
    read = _read(query, parameter, before, bare)
    clear = all(each.values and same_value(each.values[0], value) for each in read)
    return tuple(each.span for each in read) if clear else ()


def find_meant(query: str, parameter: str, before: Facts) -> list[Any]:
    """Return the values that the references which name `parameter` lead to, wanted or not."""
    read = _read(query, parameter, before, bare=False) if before.sources else []
    return [value for each in read if each.labelled for value in each.values]


def remove_spans(query: str, spans: Sequence[Span]) -> str:
    """Return the query, in plain characters, without what stands in `spans`."""
    text = to_plain(query)
    for start, end in sorted(set(spans), reverse=True):
        text = f"{text[:start]} {text[end:]}"
    return text


def _phrases(parameter: str, before: Facts) -> Iterator[tuple[str, Any]]:
    """Yield what can be written, and what it is meant to stand for."""
    label = humanize(parameter)
    if given := _given(label, before):
        several = any(not same_value(each, given[-1][0]) for values in given for each in values)
        yield write_same(label, several=several), given[-1][0]
    yield from _item_phrases(parameter, before)


def _item_phrases(parameter: str, before: Facts) -> Iterator[tuple[str, Any]]:
    """Yield what can be written of items that were spoken of: nobody points at the unseen."""
    lists = _latest_lists(before)
    for position, words in write_items():
        if any(_is_shown(each, position, before) for each in lists):
            yield from ((words, v) for v in _item_values(parameter, position, lists, ""))


def _is_shown(listing: _Listing, position: int, before: Facts) -> bool:
    """Return whether anybody spoke of the item at a position."""
    items = listing.items[position : position + 1]
    told = [v for item in items for *_, v in item if isinstance(v, str) or is_number(v)]
    return any(text_holds(text, v) for v in told if not is_trivial(v) for text in before.texts)


def _read(query: str, parameter: str, before: Facts, bare: bool) -> list[_Read]:
    """Return the references for `parameter`: those that name it if there are any, else all."""
    label = humanize(parameter)
    found = [
        _Read(each.span, _same_values(label, each.words, before, each.full), labelled=True)
        for each in find_same(query, label)
    ]
    items = [item for item in find_items(query) if bare or not item.alone]
    lists = _latest_lists(before) if items else []
    for item in items:
        if _fits_noun(item.noun, parameter, lists):
            values = tuple(_item_values(parameter, item.position, lists, item.noun))
            found.append(_Read(item.span, values, names_before(query, label, item.span[0])))
    return [each for each in found if each.labelled] or found


# --- The same as before.


def _given(label: str, before: Facts) -> list[list[Any]]:
    """Return the values under a label, one list for each call that had any, oldest first."""
    return [
        values
        for source in before.sources
        if source.kind == "given" and isinstance(source.content, dict)
        if (values := [v for k, v in source.content.items() if _key(k) == label.casefold()])
    ]


def _key(name: Any) -> str:
    return humanize(str(name)).casefold()


def _latest(label: str, before: Facts) -> tuple[Any, ...]:
    """Return the latest value under a label; nothing if two parameters of one call share it."""
    given = _given(label, before)
    return tuple(given[-1]) if given and len(given[-1]) == 1 else ()


def _same_values(label: str, words: str, before: Facts, full: bool) -> tuple[Any, ...]:
    """Return what "the same `words`" stands for; shorter words must not fit other labels too."""
    if full:
        return _latest(label, before)
    wanted = set(words.casefold().split())
    keys = {
        _key(key)
        for source in before.sources
        if source.kind == "given" and isinstance(source.content, dict)
        for key in source.content
    }
    likely = [key for key in keys if wanted <= set(key.split())]
    values = [value for key in likely for value in _latest(key, before)]
    same = len(values) == len(likely) and all(same_value(values[0], each) for each in values)
    return _latest(label, before) if values and same else ()


# --- One of those you listed.


@dataclass(frozen=True)
class _Listing:
    """A list of several items that a result showed."""

    name: str
    items: tuple[tuple[tuple[str, str, Any], ...], ...]
    """Per item, its (field, container, value) triples."""


def _fits_noun(noun: str, parameter: str, lists: Sequence[_Listing]) -> bool:
    """Return whether "the second `noun`" can be an item of these lists."""
    meant = content_words(noun) - GENERIC - {"ones"}
    fields = (field for each in lists for field, _, _ in each.items[0])
    known = content_words(" ".join((parameter, *(each.name for each in lists), *fields)))
    return not meant or bool(meant & known)


def _latest_lists(before: Facts) -> list[_Listing]:
    """Return the outermost lists of several of the latest result that holds one."""
    for source in reversed(before.sources):
        found = _outer_lists(source.content) if source.kind == "result" else ()
        places = list(found)
        if places:
            values = list(iterate_values(source.content))
            return [_make_listing(pointer, size, values) for pointer, size in places]
    return []


def _outer_lists(content: Any, pointer: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(content, dict):
        for key, item in content.items():
            yield from _outer_lists(item, f"{pointer}/{escape_key(str(key))}")
    elif isinstance(content, list) and len(content) > 1:
        yield pointer, len(content)
    elif isinstance(content, list) and content:
        yield from _outer_lists(content[0], f"{pointer}/0")


def _make_listing(pointer: str, size: int, values: Sequence[tuple[str, str, str, Any]]) -> _Listing:
    items: list[list[tuple[str, str, Any]]] = [[] for _ in range(size)]
    for place, field, container, value in values:
        if place.startswith(f"{pointer}/") and not isinstance(value, list):
            number, *rest = place[len(pointer) + 1 :].split("/")
            if not any(part.isdigit() for part in rest):
                items[int(number)].append((field, container, value))
    name = next((part for part in reversed(pointer.split("/")) if not part.isdigit()), "")
    return _Listing(name, tuple(map(tuple, items)))


def _item_values(parameter: str, position: int, lists: Sequence[_Listing], noun: str) -> list[Any]:
    """Return the value that the item at a position has for a parameter; nothing if in doubt.

    The value must tell the item from the others: a person who says "the second one" means it.
    """
    told = content_words(noun) & content_words(" ".join(each.name for each in lists))
    chosen = [each for each in lists if not told or told & content_words(each.name)]
    found: list[Any] = []
    for listing in chosen:
        if not -len(listing.items) <= position < len(listing.items):
            continue
        held = [_field_value(parameter, item) for item in listing.items]
        mine = held[position]
        if mine and sum(same_value(mine, other) for other in held) == 1:
            found += mine
    clear = found and all(same_value(found[0], other) for other in found)
    return found[:1] if clear else []


def _field_value(parameter: str, item: Sequence[tuple[str, str, Any]]) -> list[Any]:
    """Return the one value of an item that best fits a parameter, if the item goes by it."""
    scored = [
        (match_field(parameter, "", field, container) if field else 1.0, field, container, value)
        for field, container, value in item
    ]
    best = max((score for score, *_ in scored), default=0.0)
    fitting = [each for score, *each in scored if score == best >= _FIT]
    if not fitting or not all(same_value(fitting[0][2], each[2]) for each in fitting):
        return []
    field, container, value = fitting[0]
    words = split_identifier(field)
    if is_number(value):
        usable = bool(IDENTITY & {*words, *split_identifier(parameter)})
    else:
        own = content_words(field) <= content_words(container) or item[0][0] == field
        usable = isinstance(value, str) and (own or bool(_NAMING & {*words[-1:]}))
    return [value] if usable and not is_trivial(value) else []
