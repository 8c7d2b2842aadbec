"""Builders and a corpus for the verifier's tests. Loaded by path: `tests/` is no package."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from funreason_agents import load_environment, synthesize
from funreason_agents.environments.base import Environment
from funreason_agents.schemas.record import TrainingRecord, make_record_id
from funreason_agents.schemas.tools import ExecutedCall, Origin, ToolCall, ToolResult
from funreason_agents.schemas.trajectory import Message
from funreason_agents.verification.replay import split_turns, verify_record

TOOLS = Path(__file__).parents[1] / "tools"
TARGETS = ("bookstore.py:Bookstore", "travel_tools.py:open_travel", "workshop.py:open_workshop")


@dataclass(frozen=True)
class Item:
    """A verified record with its environment."""

    record: TrainingRecord
    environment: Environment

    @property
    def turns(self) -> list[list[Message]]:
        return split_turns(self.record.messages)

    def fails(self, record: TrainingRecord) -> set[str]:
        return {problem.check for problem in verify_record(record, self.environment).problems}


@dataclass(frozen=True)
class Mutant:
    """A changed record, and where it was changed."""

    item: Item
    record: TrainingRecord
    note: str


def make_corpus(directory: Path, trajectories: int = 8) -> list[Item]:
    items = []
    for target in TARGETS:
        environment = load_environment(str(TOOLS / target), isolated=False)
        run = synthesize(
            environment=environment,
            num_trajectories=trajectories,
            out=directory / target.partition(".")[0],
            seed=5,
        )
        items += [Item(record, environment) for record in run.records()]
    return items


def with_turns(
    record: TrainingRecord, conversation: Sequence[Sequence[Message]], **certificate: Any
) -> TrainingRecord:
    """Return the record with other messages, its id made anew."""
    messages = tuple(message for turn in conversation for message in turn)
    return record.model_copy(
        update={
            "id": make_record_id(messages, record.tools),
            "messages": messages,
            "certificate": record.certificate.model_copy(update=certificate),
        }
    )


def with_turn(item: Item, number: int, messages: Sequence[Message]) -> TrainingRecord:
    turns: list[Sequence[Message]] = list(item.turns)
    turns[number] = messages
    return with_turns(item.record, turns)


def turns_of(corpus: Sequence[Item]) -> Iterator[tuple[Item, int, list[Message]]]:
    for item in corpus:
        for number, messages in enumerate(item.turns):
            yield item, number, messages


def set_leaf(value: Any, pointer: str, leaf: Any) -> Any:
    changed = copy.deepcopy(value)
    target = changed
    *parents, last = pointer.split("/")[1:]
    for part in parents:
        target = target[int(part)] if isinstance(target, list) else target[part]
    target[int(last) if isinstance(target, list) else last] = leaf
    return changed


def executed(
    name: str,
    arguments: dict[str, Any] | None = None,
    result: Any = None,
    *,
    states: str = "aa",
    origins: dict[str, Origin] | None = None,
    is_error: bool = False,
    id: str = "call_0",
) -> ExecutedCall:
    """Return an executed call; `states` are the one-letter state hashes before and after."""
    return ExecutedCall(
        call=ToolCall(id=id, name=name, arguments=arguments or {}),
        result=ToolResult(call_id=id, content=result, is_error=is_error),
        state_before=states[0],
        state_after=states[1],
        origins=origins or {},
    )
