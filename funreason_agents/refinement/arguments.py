"""Arguments against the JSON Schema of their tool, and what can be repaired beyond doubt."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection
from typing import Any

from jsonschema import Draft202012Validator

from funreason_agents.refinement.notation import read_literal
from funreason_agents.refinement.row_schemas import follow_references, to_schema
from funreason_agents.schemas.tools import ToolSpec
from funreason_agents.schemas.words import humanize, split_identifier, stem
from funreason_agents.verification.derivations import Facts
from funreason_agents.verification.values import (
    fold,
    folded_holds,
    holds_number,
    numbers_in,
    same_value,
)

Json = dict[str, Any]
_ROLES = frozenset(
    split_identifier(
        "from to origin destination dest source src target sender receiver recipient payer payee "
        "buyer seller start end begin stop finish departure arrival depart arrive pickup dropoff "
        "outbound inbound return first second third last old new before after previous next "
        "current left right top bottom upper lower min max minimum maximum low high in out input "
        "output home away base quote parent child primary secondary main backup include exclude "
        "debit credit original copy other since until caller callee lender borrower winner loser "
        "host guest follower followee employer employee"
    )
)
"""Words that tell what a thing is here, not which kind of thing it is: it can be the other next."""
_TYPES = frozenset(split_identifier("id ids code name number no num key ref value text string"))
"""Words that two parameters can share though they take different kinds of thing."""
_SEVERAL = re.compile(r"[,;|&\n\t]|\b(?:and|or)\b")
"""What parts the items of a list that is written as text, or stands in a single one of them."""


def find_schema_problem(arguments: Json, tool: ToolSpec) -> str | None:
    """Return what is wrong with arguments, or None.

    A parameter that the schema does not name is wrong, whether or not the schema forbids it. What
    a schema that cannot be used says of a value is never wrong.

    Returns:
        `"unknown_parameter"`, `"missing_parameter"`, `"wrong_type"` or `"wrong_value"`.
    """
    schema = to_schema(tool.parameters)
    arguments = _without_filling(arguments, tool)
    if set(arguments) - set(follow_references(schema, schema).get("properties", {})):
        return "unknown_parameter"
    try:
        kinds = {error.validator for error in Draft202012Validator(schema).iter_errors(arguments)}
    except Exception:  # noqa: BLE001  # a schema of anybody's
        return None
    if "required" in kinds:
        return "missing_parameter"
    if "type" in kinds:
        return "wrong_type"
    return "wrong_value" if kinds else None


def _without_filling(arguments: Json, tool: ToolSpec) -> Json:
    """Return arguments without the nulls that a table filled in where the tool has a null too."""
    properties = tool.parameters.get("properties") or {}
    filled = {name for name, schema in properties.items() if schema is None}
    return {
        name: value for name, value in arguments.items() if value is not None or name not in filled
    }


def repair_arguments(arguments: Json, tool: ToolSpec, facts: Facts) -> Json | None:
    """Return arguments that the schema allows and that mean the same; None if there is doubt.

    Names: a wrong one is replaced by the one free parameter that is the same but for case,
    separators, a plural or one typing error. Types: what has but one reading in the schema's type.
    Options of an enum: without case and separators. Two values that changed places: where the
    results of the conversation label both of them so, and neither could be the other.
    """
    schema = to_schema(tool.parameters)
    properties = follow_references(schema, schema).get("properties", {})
    named = _rename(_without_filling(arguments, tool), list(properties), _known_words(tool, facts))
    if named is None:
        return None
    fixed = {name: coerce(value, properties[name], schema, facts) for name, value in named.items()}
    fixed = swap_back(fixed, facts)
    return fixed if find_schema_problem(fixed, tool) is None else None


def _rename(arguments: Json, names: list[str], known: Collection[str]) -> Json | None:
    free = [name for name in names if name not in arguments]
    renamed: Json = {}
    for name, value in arguments.items():
        if name in names:
            renamed[name] = value
            continue
        same = [each for each in free if _plain(each) == _plain(name)]
        chosen = same or [each for each in free if _is_slip(name, each, known)]
        if len(chosen) != 1:
            return None
        free.remove(chosen[0])
        renamed[chosen[0]] = value
    return renamed


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _known_words(tool: ToolSpec, facts: Facts) -> frozenset[str]:
    """Return the words that the tool and the conversation use: none of them is a slip."""
    properties = to_schema(tool.parameters).get("properties", {}).values()
    told = [str(each.get("description")) for each in properties if isinstance(each, dict)]
    told.append(tool.description)
    for source in facts.sources:
        told += [source.text, *(name for name, _ in source.pairs)]
    return frozenset(word for text in told for word in split_identifier(text))


def _is_slip(wrong: str, right: str, known: Collection[str]) -> bool:
    """Return whether two names differ in one word, by a plural or by one typing error.

    A word that somebody uses, or that has an opposite, is meant as it stands.
    """
    words = split_identifier(wrong), split_identifier(right)
    differing = [pair for pair in zip(*words, strict=False) if pair[0] != pair[1]]
    if len(words[0]) != len(words[1]) or len(differing) != 1:
        return False
    slip, meant = differing[0]
    if stem(slip) == stem(meant):
        return True
    return slip not in _ROLES and slip not in known and _is_typing_error(slip, meant)


def _is_typing_error(slip: str, meant: str) -> bool:
    """Return whether a letter is missing, too many, another, or two changed places.

    Short words are too near each other for it (`from`, `form`), and the first letter or another
    ending mostly makes another word (`date`, `rate`; `employer`, `employee`).
    """
    short, long = sorted((slip, meant), key=len)
    if not (slip + meant).isalpha() or slip[0] != meant[0] or len(long) < 4:
        return False
    if len(long) == len(short) + 1:
        return any(long[:place] + long[place + 1 :] == short for place in range(len(long)))
    if len(long) != len(short):
        return False
    first, *more = [place for place in range(len(long)) if short[place] != long[place]]
    if not more:
        return len(long) > 5 and first < len(long) - 1
    turned = slip[first : first + 2] == meant[first : first + 2][::-1]
    return len(long) > 4 and more == [first + 1] and turned


def coerce(value: Any, schema: Any, whole: Any = None, facts: Facts | None = None) -> Any:
    """Return a value in the type that the schema wants, if it has one reading there; else as is.

    Args:
        value: What an answer gave.
        schema: What `to_schema` made of the schema of its place.
        whole: The schema that references point into; without it, what they name allows all.
        facts: The conversation; without it a number never becomes a text, which could be `007`.
    """
    if not isinstance(schema, dict):
        return value
    schema = follow_references(schema, whole)
    options = schema.get("enum")
    if isinstance(options, list) and value not in options:
        alike = [each for each in options if _option(each) == _option(value)]
        return alike[0] if len(alike) == 1 else value
    if _is_valid(value, schema, whole):
        return value
    wanted = schema.get("type")
    if wanted in ("integer", "number"):
        return _to_number(value, wanted)
    if wanted == "boolean" and isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower(), value)
    if wanted == "string" and isinstance(value, int) and not isinstance(value, bool):
        return str(value) if facts is not None and _is_written_so(value, facts) else value
    return _to_structure(value, schema, whole, facts) if wanted in ("array", "object") else value


def _option(value: Any) -> str:
    """Return an option without case and separators; `A-`, `C++`, `-1`, `3.5` keep their marks."""
    text = fold(str(value)).strip("'\" ").removesuffix(".")
    return re.sub(r"(?<=[^\W\d_])[\s_.-]+(?=\w)|(?<=\w)[\s_.-]+(?=[^\W\d_])", "", text)


def _is_valid(value: Any, schema: Json, whole: Any) -> bool:
    try:
        root = Draft202012Validator(schema if whole is None else whole)
        return bool(root.evolve(schema=schema).is_valid(value))
    except Exception:  # noqa: BLE001  # a schema of anybody's
        return True


def _is_written_so(value: int, facts: Facts) -> bool:
    """Return whether the digits of a number are its text: said so, or not said in another way."""
    padded = re.compile(rf"(?<![\w.,])0+{abs(value)}(?!\w)")
    if any(padded.search(source.folded) for source in facts.known):
        return False
    if any(folded_holds(source.folded, str(value)) for source in facts.known):
        return True
    return not any(holds_number(source.written, value) for source in facts.known)


def _to_structure(value: Any, schema: Json, whole: Any, facts: Facts | None) -> Any:
    if schema["type"] == "object":
        read = read_literal(value) if isinstance(value, str) else value
        if not isinstance(read, dict):
            return value
        inner = schema.get("properties") or {}
        return {name: coerce(each, inner.get(name), whole, facts) for name, each in read.items()}
    items, read = schema.get("items"), value
    if isinstance(value, str):
        bracketed = value.strip().startswith(("[", "("))
        read = read_literal(value) if bracketed else value
        if not isinstance(read, list) and (bracketed or not value or _SEVERAL.search(value)):
            return value  # one item or several
    if isinstance(read, list):
        return [coerce(each, items, whole, facts) for each in read]
    alone = value is not None and not isinstance(value, dict)
    return [coerce(value, items, whole, facts)] if alone else value


def _to_number(value: Any, wanted: str) -> Any:
    if isinstance(value, str):
        found = numbers_in(value)
        if len(found) != 1 or (re.search(r"[^\W\d_]", value) and re.search(r"\d", value)):
            return value  # none, several, or with a unit
        value = found[0]
        value = int(value) if value.is_integer() else value
    if wanted == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def swap_back(arguments: Json, facts: Facts) -> Json:
    """Return arguments with two values exchanged, if the results label each as the other's.

    What was the origin may be the destination on the way back, so this is only for fields that
    take different kinds of thing: an order can never be a branch.
    """
    for one, other in itertools.combinations(arguments, 2):
        if _changed_places(arguments, one, other, facts):
            return {**arguments, one: arguments[other], other: arguments[one]}
    return arguments


def _changed_places(arguments: Json, one: str, other: str, facts: Facts) -> bool:
    if _take_the_same(one, other):
        return False
    first, second = arguments[one], arguments[other]
    if not _is_labelled(first, other, one, facts) or not _is_labelled(second, one, other, facts):
        return False
    if _look(first) != _look(second):
        return True
    # They look alike, so they may be of one kind. Nothing is reversed that never was the one way.
    labels = humanize(one), humanize(other)
    rows = (row for source in facts.sources for row in source.rows)
    return not any(
        same_value(row.get(labels[1]), first) and same_value(row.get(labels[0]), second)
        for row in rows
    )


def _take_the_same(one: str, other: str) -> bool:
    """Return whether two parameters may take the same kind of thing, going by their names."""
    words = [set(split_identifier(name)) for name in (one, other)]
    if (words[0] & words[1]) - _TYPES:
        return True
    roles = [{each for each in found if each in _ROLES or len(each) == 1} for found in words]
    bare = [not found - role - _TYPES for found, role in zip(words, roles, strict=True)]
    return all(roles) or any(role and only for role, only in zip(roles, bare, strict=True))


def _look(value: Any) -> str:
    """Return what tells the kind of a value: the letters of a code, only digits, or its marks."""
    text = str(value).strip()
    if code := re.fullmatch(r"([A-Z]{2,}|[A-Z](?=[-_]))[-_]?\d+", text):
        return code.group(1)
    return "digits" if re.fullmatch(r"[\d\W]+", text) else "".join(re.findall(r"[@/\\]", text)[:1])


def _is_labelled(value: Any, field: str, instead_of: str, facts: Facts) -> bool:
    """Return whether results have a value under one field, and nothing has it under the other."""
    if isinstance(value, list | dict | bool) or value is None:
        return False
    fields = {fold(name) for name, leaf in facts.results if same_value(leaf, value)}
    given = (pair for source in facts.sources if source.kind == "given" for pair in source.pairs)
    taken = fields | {fold(name) for name, leaf in given if same_value(leaf, value)}
    return fold(field) in fields and fold(instead_of) not in taken
