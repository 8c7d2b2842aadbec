"""Compare an attempt's calls with the gold calls: `exact` by abstract syntax, or by `outcome`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from funreason_agents.schemas.base import escape_key, resolve_pointer
from funreason_agents.schemas.tools import ExecutedCall
from funreason_agents.verification.values import same_value


@dataclass(frozen=True)
class Match:
    """How an attempt's calls line up with the gold calls."""

    pairs: dict[int, int]
    """Gold position -> attempt position."""
    extra: tuple[int, ...]
    """Attempt positions that match no gold call."""
    problem: dict[str, Any] = field(default_factory=dict)
    """The first difference: `kind`, `step`, and where it lies; empty if there is none."""

    @property
    def complete(self) -> bool:
        """True if every gold call has its counterpart and every extra call left no trace."""
        return not self.problem

    @property
    def swapped(self) -> bool:
        """True if the counterparts stand in another order than the gold calls."""
        order = [self.pairs[gold] for gold in sorted(self.pairs)]
        return order != sorted(order)


def match_calls(gold: Sequence[ExecutedCall], attempt: Sequence[ExecutedCall]) -> Match:
    """Line up `attempt` with `gold`, call by call.

    A value that a gold call took from an earlier output is compared with the counterpart's
    output, so another id for the same thing is right, and a made-up id is wrong; so is one that
    is used before that output was there. A counterpart must give the gold call's result. An extra
    call passes only if the state hash did not move.
    """
    pairs: dict[int, int] = {}
    for number in range(len(gold)):
        found = _find_counterpart(number, gold, attempt, pairs)
        if found is None:
            problem = _explain(number, gold, attempt, pairs)
            return Match(pairs, _extra(attempt, pairs), problem)
        pairs[number] = found
    extra = _extra(attempt, pairs)
    for position in extra:
        step = attempt[position]
        if step.state_before != step.state_after:
            problem = {"kind": "extra_call", "step": position, "tool": step.call.name}
            return Match(pairs, extra, problem)
    for number, position in sorted(pairs.items()):
        step = attempt[position]
        if not same_value(gold[number].result.content, step.result.content):
            kind = "wrong_order" if Match(pairs, extra).swapped else "wrong_source"
            problem = {"kind": kind, "step": position, "tool": step.call.name}
            return Match(pairs, extra, problem)
    return Match(pairs, extra)


def _find_counterpart(
    number: int,
    gold: Sequence[ExecutedCall],
    attempt: Sequence[ExecutedCall],
    pairs: dict[int, int],
) -> int | None:
    """Return the first free attempt position whose call equals gold call `number`."""
    taken = set(pairs.values())
    first = max((pairs[each] for each in _providers(gold[number]) if each in pairs), default=-1) + 1
    for position, step in enumerate(attempt[first:], start=first):
        if position in taken or step.result.is_error != gold[number].result.is_error:
            continue
        if step.call.name == gold[number].call.name and not find_argument_problem(
            gold, number, step, attempt, pairs
        ):
            return position
    return None


def _providers(step: ExecutedCall) -> set[int]:
    """Return the positions of the calls whose outputs a gold call uses."""
    origins = (origin for origin in step.origins.values() if origin.kind == "output")
    return {origin.call for origin in origins if origin.call is not None}


def find_argument_problem(
    gold: Sequence[ExecutedCall],
    number: int,
    step: ExecutedCall,
    attempt: Sequence[ExecutedCall],
    pairs: dict[int, int],
) -> str | None:
    """Return the first parameter in which `step` differs from gold call `number`, or None."""
    expected = _expected_arguments(gold, number, attempt, pairs)
    for name in sorted({*expected, *step.call.arguments}):
        if name not in expected or name not in step.call.arguments:
            return name
        if not same_value(expected[name], step.call.arguments[name]):
            return name
    return None


def _expected_arguments(
    gold: Sequence[ExecutedCall],
    number: int,
    attempt: Sequence[ExecutedCall],
    pairs: dict[int, int],
) -> dict[str, Any]:
    """Return the gold arguments, with output values read from the counterparts' outputs."""
    call = gold[number]
    replaced: dict[str, Any] = {}
    for pointer, origin in call.origins.items():
        if origin.kind != "output" or origin.call not in pairs:
            continue
        try:
            value = resolve_pointer(attempt[pairs[origin.call]].result.content, origin.path or "")
        except LookupError:
            continue
        replaced[pointer] = value
    arguments = call.call.arguments
    return {
        name: _with_values(arguments[name], replaced, f"/{escape_key(name)}") for name in arguments
    }


def _with_values(value: Any, replaced: dict[str, Any], pointer: str) -> Any:
    if pointer in replaced:
        return replaced[pointer]
    if isinstance(value, dict):
        return {
            key: _with_values(item, replaced, f"{pointer}/{escape_key(key)}")
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_with_values(item, replaced, f"{pointer}/{n}") for n, item in enumerate(value)]
    return value


def _extra(attempt: Sequence[ExecutedCall], pairs: dict[int, int]) -> tuple[int, ...]:
    taken = set(pairs.values())
    return tuple(position for position in range(len(attempt)) if position not in taken)


def _explain(
    number: int,
    gold: Sequence[ExecutedCall],
    attempt: Sequence[ExecutedCall],
    pairs: dict[int, int],
) -> dict[str, Any]:
    """Say how gold call `number` was missed: absent, another tool in its place, or a parameter."""
    name = gold[number].call.name
    taken = set(pairs.values())
    free = [position for position in range(len(attempt)) if position not in taken]
    same = [position for position in free if attempt[position].call.name == name]
    if same:
        position = same[0]
        parameter = find_argument_problem(gold, number, attempt[position], attempt, pairs)
        kind = "wrong_source" if parameter else "wrong_tool"
        return {
            "kind": kind, "step": position, "tool": name, "parameter": parameter, "gold": number,
        }  # fmt: skip
    if free and free[0] <= number:
        return {
            "kind": "wrong_tool",
            "step": free[0],
            "tool": attempt[free[0]].call.name,
            "gold": number,
        }
    return {"kind": "missing_call", "step": len(attempt), "gold": number}


def missing_results(gold: Sequence[ExecutedCall], attempt: Sequence[ExecutedCall]) -> list[int]:
    """Return the gold positions whose result no call of `attempt` gave (BFCL's rule)."""
    free = [step.result.content for step in attempt]
    missing = []
    for number, step in enumerate(gold):
        content = step.result.content
        hit = next((n for n, each in enumerate(free) if same_value(each, content)), None)
        if hit is None:
            missing.append(number)
        else:
            del free[hit]
    return missing
