"""Every way to spoil a verified record, at every place where it applies."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from builders import Item, Mutant, set_leaf, turns_of, with_turn, with_turns

from funreason_agents.schemas.base import iterate_leaves, parse_result, result_text
from funreason_agents.schemas.trajectory import Message, ToolCall, calls_of
from funreason_agents.verification.derivations import squeeze
from funreason_agents.verification.query_gate import find_origin
from funreason_agents.verification.values import is_distinctive, is_trivial

_PAIR = re.compile(r"(?<=: )(\"[^\"\n]*\"|-?\d+(?:\.\d+)?)(?=[;.])")


def call_places(messages: Sequence[Message]) -> list[int]:
    """Return where the calls of a turn are. One that was refused is no part of the answer."""
    return [
        number
        for number, message in enumerate(messages)
        if message.tool_calls and not messages[number + 1].is_error
    ]


def _mutants(item: Item, number: int, messages: Sequence[Message], note: str) -> Mutant:
    return Mutant(item, with_turn(item, number, messages), f"turn {number}: {note}")


def drop_calls(corpus: Sequence[Item]) -> Iterator[Mutant]:
    for item, number, messages in turns_of(corpus):
        for place in call_places(messages):
            left = [*messages[:place], *messages[place + 2 :]]
            yield _mutants(item, number, left, f"without {messages[place].tool_calls}")


def swap_calls(corpus: Sequence[Item], *, dependent: bool) -> Iterator[Mutant]:
    """Swap neighbours: `dependent`, the second uses the first's output; else both only read."""
    for item, number, messages in turns_of(corpus):
        turn = item.record.certificate.turns[number]
        states = [item.record.certificate.initial_state_hash]
        states += [c.state_hash for t in item.record.certificate.turns[:number] for c in t.calls]
        states = [states[-1], *(call.state_hash for call in turn.calls)]
        if len(turn.calls) > len(turn.gold):
            continue  # an attempt with a refused call: its steps are not those of the gold trace
        for step, place in enumerate(call_places(messages)[:-1]):
            second = turn.gold[step + 1]
            origins = [o for o in second.origins.values() if o.kind == "output"]
            uses = any(origin.call == step for origin in origins)
            reads = states[step] == states[step + 1] == states[step + 2]
            if uses if dependent else reads and not uses:
                pair, after = messages[place : place + 2], messages[place + 2 : place + 4]
                left = [*messages[:place], *after, *pair, *messages[place + 4 :]]
                calls = list(turn.calls)
                calls[step], calls[step + 1] = calls[step + 1], calls[step]
                turns = list(item.record.certificate.turns)
                turns[number] = turn.model_copy(update={"calls": tuple(calls)})
                conversation = list(item.turns)
                conversation[number] = left
                record = with_turns(item.record, conversation, turns=tuple(turns))
                yield Mutant(item, record, f"turn {number}: {step} and {step + 1} swapped")


def other_values(value: Any, options: Sequence[Any] = ()) -> list[Any]:
    """Return values that a careless model could have written instead."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value * 2 + 3, -value - 1]
    if value is None:
        return ["something"]
    last = "A" if value[-1:] != "A" else "B"
    return [value[:-1] + last, value + "x", *(o for o in options if o != value)][:3]


def change_arguments(corpus: Sequence[Item]) -> Iterator[Mutant]:
    for item, number, messages in turns_of(corpus):
        for place in call_places(messages):
            (call,) = messages[place].tool_calls
            schemas = item.environment.tool(call.name).properties
            for pointer, leaf in iterate_leaves(call.arguments):
                options = schemas[pointer.split("/")[1]].get("enum", ())
                for other in other_values(leaf, options):
                    # A string that differs by case only is the same value to the verifier.
                    if isinstance(leaf, str) and str(other).casefold() == leaf.casefold():
                        continue
                    changed = set_leaf(call.arguments, pointer, other)
                    message = _with_call(messages[place], changed)
                    left = [*messages[:place], message, *messages[place + 1 :]]
                    yield _mutants(item, number, left, f"{call.name}{pointer} = {other!r}")


def _with_call(message: Message, arguments: dict[str, Any]) -> Message:
    call = message.tool_calls[0].model_copy(update={"arguments": arguments})
    return message.model_copy(update={"tool_calls": (call,)})


def change_results(corpus: Sequence[Item]) -> Iterator[Mutant]:
    for item, number, messages in turns_of(corpus):
        for place, message in enumerate(messages):
            if message.role != "tool":
                continue
            content = parse_result(message.content)
            for pointer, leaf in iterate_leaves(content):
                changed = set_leaf(content, pointer, other_values(leaf)[0])
                spoilt = message.model_copy(update={"content": result_text(changed)})
                left = [*messages[:place], spoilt, *messages[place + 1 :]]
                yield _mutants(item, number, left, f"result {pointer}")
            flipped = message.model_copy(update={"is_error": not message.is_error})
            left = [*messages[:place], flipped, *messages[place + 1 :]]
            yield _mutants(item, number, left, "is_error")


INVENTED = (
    " It takes 7391.25 minutes.",
    " Your reference is ZZQ-19X7.",
    ' The note says "purple giraffe".',
    " It was sent on March 3, 1987.",
    " There are eighty-six left.",
    " The rate is 83%.",
    " It costs $6,743.19.",
    "\n- **Fee:** -4417",
    " Write to nobody@nowhere.example.",
)


def with_reply(item: Item, number: int, messages: Sequence[Message], reply: str) -> Mutant:
    closing = messages[-1].model_copy(update={"content": reply})
    return _mutants(item, number, [*messages[:-1], closing], reply)


def invent_claims(corpus: Sequence[Item]) -> Iterator[Mutant]:
    for item, number, messages in turns_of(corpus):
        for claim in INVENTED:
            yield with_reply(item, number, messages, messages[-1].content + claim)


def change_claims(corpus: Sequence[Item]) -> Iterator[Mutant]:
    """Put another value, or an unquoted word, after each `field:` of the reply."""
    for item, number, messages in turns_of(corpus):
        reply = messages[-1].content
        for match in _PAIR.finditer(reply):
            value = json.loads(match.group())
            for other in (*other_values(value)[:2], "Quintessence"):
                # The same but for case, or in full and then a stray letter: no other value.
                if str(other).casefold() == str(value).casefold() or str(value).endswith("."):
                    continue
                said = reply[: match.start()] + str(other) + reply[match.end() :]
                yield with_reply(item, number, messages, said)


def swap_claims(corpus: Sequence[Item]) -> Iterator[Mutant]:
    for item, number, messages in turns_of(corpus):
        reply = messages[-1].content
        found = list(_PAIR.finditer(reply))
        for left, right in pairwise(found):
            labels = [re.split(r"[;.] ", reply[: m.start()])[-1] for m in (left, right)]
            # Equal values stay where they were; one field's values may both be held by it.
            if left.group() == right.group() or labels[0] == labels[1]:
                continue
            said = reply[: left.start()] + right.group() + reply[left.end() : right.start()]
            said += left.group() + reply[right.end() :]
            yield with_reply(item, number, messages, said)


def add_calls(corpus: Sequence[Item], *, write: bool) -> Iterator[Mutant]:
    """Add a call: `write`, the last writing call once more with its result; else one that fails."""
    for item, number, messages in turns_of(corpus):
        for place in call_places(messages)[-2:]:
            (call,) = messages[place].tool_calls
            name, arguments = call.name, call.arguments
            if not write:
                if not arguments:
                    continue  # a refused call that leaves no trace may be made; this one can
                arguments = {key: "NO-SUCH-9X" for key in arguments}
            added = ToolCall(id="call_extra", name=name, arguments=arguments)
            session = item.environment.open(item.record.certificate.environment_seed)
            earlier = [message for each in item.turns[:number] for message in each]
            for done in calls_of([*earlier, *messages[: place + 1]]):
                session.call(done)
            before = session.state_hash()
            result = session.call(added)
            if (session.state_hash() != before) is not write or result.is_error is write:
                continue
            told = Message(
                role="tool",
                name=name,
                tool_call_id=added.id,
                content=result_text(result.content),
                is_error=result.is_error,
            )
            asked = messages[place].model_copy(update={"tool_calls": (added,)})
            left = [*messages[: place + 2], asked, told, *messages[place + 2 :]]
            yield _mutants(item, number, left, f"one more {name}")


def with_query(item: Item, number: int, messages: Sequence[Message], query: str) -> Mutant:
    asked = messages[0].model_copy(update={"content": query})
    return _mutants(item, number, [asked, *messages[1:]], query)


def name_identifiers(corpus: Sequence[Item]) -> Iterator[Mutant]:
    for item, number, messages in turns_of(corpus):
        query = messages[0].content
        for tool in item.environment.tools:
            for name in (tool.name, *tool.properties):
                if "_" in name:  # an ordinary word such as `city` may be said
                    yield with_query(item, number, messages, f"{query} Use {name} for it.")


ASKED_BESIDES = (
    " Also search the books written by Zora Quimby.",
    ' And tag it "purple giraffe".',
    " Then do it for 7391 others as well.",
)


def ask_for_more(corpus: Sequence[Item]) -> Iterator[Mutant]:
    """Ask for something that no gold call does."""
    for item, number, messages in turns_of(corpus):
        for more in ASKED_BESIDES:
            yield with_query(item, number, messages, messages[0].content + more)


def claim_other_deeds(corpus: Sequence[Item]) -> Iterator[Mutant]:
    """Claim a deed that no tool of the conversation has to do with."""
    for item, number, messages in turns_of(corpus):
        lie = f"{messages[-1].content} I have also e-mailed you a receipt."
        told = [message.content for turn in item.turns[: number + 1] for message in turn]
        called = {call.name for call in calls_of(messages)}
        told += [str(item.environment.tool(name).to_json()) for name in called]
        if not re.search(
            r"(?i)mail|messag|send|sent|inform|contact|post|letter|forward", str(told)
        ):
            yield with_reply(item, number, messages, lie)


def reveal_results(corpus: Sequence[Item]) -> Iterator[Mutant]:
    """Say in the query what only this turn's results reveal."""
    for item, number, messages in turns_of(corpus):
        earlier = " ".join(m.content for turn in item.turns[:number] for m in turn)
        query = messages[0].content
        for message in messages:
            content = parse_result(message.content) if message.role == "tool" else None
            for _, leaf in iterate_leaves(content):
                # What the user said anyway is no secret, nor is a common word or a small number.
                known = str(leaf) in earlier or str(leaf) in query
                if is_distinctive(leaf) and not known:
                    yield with_query(item, number, messages, f"{query} By the way: {leaf}.")


def withhold_inputs(corpus: Sequence[Item]) -> Iterator[Mutant]:
    """Take every value out of the query that only the user could supply."""
    for item, number, messages in turns_of(corpus):
        query = messages[0].content
        for call in item.record.certificate.turns[number].gold:
            schemas = item.environment.tool(call.name).properties
            for pointer, leaf in iterate_leaves(call.arguments):
                origin = find_origin(call, pointer)
                schema = schemas[pointer.split("/")[1]]
                if (origin and origin.kind in ("output", "history")) or is_trivial(leaf):
                    continue  # 1 and true say nothing wherever they are found
                if schema.get("default") == leaf:
                    continue  # left out, it means the same
                said = re.sub(rf"(?i)(?<!\w){re.escape(str(leaf))}(?!\w)", "...", query)
                # A name may still be spelt out by a login made of it, and the other way round.
                if said != query and squeeze(str(leaf)) not in squeeze(said):
                    yield with_query(item, number, messages, said)


def mention_scaffolding(corpus: Sequence[Item]) -> Iterator[Mutant]:
    phrases = ("As the composition says,", "The critique told me to", "Per the gold_trace,",
               "The hint lists", "After my previous attempt failed,")  # fmt: skip
    for item, number, messages in turns_of(corpus):
        for place in call_places(messages):
            for phrase in phrases:
                spoilt = messages[place].model_copy(update={"reasoning": f"{phrase} do this."})
                left = [*messages[:place], spoilt, *messages[place + 1 :]]
                yield _mutants(item, number, left, phrase)


def swap_turns(corpus: Sequence[Item]) -> Iterator[Mutant]:
    for item in corpus:
        turns, certified = item.turns, list(item.record.certificate.turns)
        for first in range(len(turns) - 1):
            order = [*range(first), first + 1, first, *range(first + 2, len(turns))]
            mixed = [turns[place] for place in order]
            yield Mutant(item, with_turns(item.record, mixed), f"messages of turn {first}")
            ends = [item.record.certificate.initial_state_hash]
            ends += [turn.calls[-1].state_hash for turn in certified[: first + 2]]
            if len(set(ends[-3:])) == 1:
                continue  # two turns that leave the state as it was may come in either order
            moved = tuple(certified[place] for place in order)
            yield Mutant(item, with_turns(item.record, mixed, turns=moved), f"turn {first}")
