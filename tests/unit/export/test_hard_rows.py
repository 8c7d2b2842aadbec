"""Rows of hard turns: each message is trained with the tools that were offered at it."""

import json
from pathlib import Path

import pytest

from funreason_agents import SynthesisContext, load_environment, synthesize
from funreason_agents.export.formats import to_trl_row, to_trl_step_rows
from funreason_agents.schemas.record import CertifiedTurn
from funreason_agents.schemas.tasks import HardTurn

TOOLS = Path(__file__).parents[3] / "tools"


@pytest.fixture(scope="module")
def record_of(tmp_path_factory):
    environment = load_environment(f"{TOOLS / 'bookstore.py'}:Bookstore", isolated=False)

    def make(kind):
        context = SynthesisContext(
            turns=2, turn_attempts=6, hard_turns={kind: 1.0}, filler_chars=800, distractors=3
        )
        run = synthesize(
            environment=environment, num_trajectories=3, out=tmp_path_factory.mktemp(kind),
            seed=3, context=context,
        )  # fmt: skip
        return next(r for r in run.records() if any(t.hard for t in r.certificate.turns))

    return make


def names(row):
    return {tool["function"]["name"] for tool in row["tools"]}


def test_withheld_function_is_offered_from_its_handover_on(record_of):
    record = record_of("missing_function")
    number, hard = next((n, t.hard) for n, t in enumerate(record.certificate.turns) if t.hard)
    own = {tool.name for tool in record.tools}
    steps = [row for row in to_trl_step_rows(record)]
    turns = [sum(m["role"] == "user" for m in row["prompt"]) - 1 for row in steps]
    before = [names(row) for row, turn in zip(steps, turns, strict=True) if turn == number]
    after = [names(row) for row, turn in zip(steps, turns, strict=True) if turn == number + 1]
    assert before and all(offered == own - {hard.function} for offered in before)
    assert after and all(hard.function in offered for offered in after)


def test_whole_conversation_brings_the_function_in_the_users_message(record_of):
    record = record_of("missing_function")
    number, hard = next((n, t.hard) for n, t in enumerate(record.certificate.turns) if t.hard)
    row = to_trl_row(record)
    assert hard.function not in names(row)
    said = [message["content"] for message in row["messages"] if message["role"] == "user"]
    brought = json.loads(said[number + 1].split("\n\n")[-1])
    assert [each["function"]["name"] for each in brought] == [hard.function]
    assert hard.function not in said[number]


def test_distractors_are_offered_and_never_called(record_of):
    record = record_of("long_context")
    hard = next(turn.hard for turn in record.certificate.turns if turn.hard)
    strange = {tool.name for tool in hard.distractors}
    assert strange and strange <= names(to_trl_row(record))
    called = {call.name for message in record.messages for call in message.tool_calls}
    assert not strange & called


@pytest.mark.parametrize("renamed", [False, True])
def test_distractor_that_would_serve_an_irrelevant_request_is_not_offered(record_of, renamed):
    record = record_of("long_context")
    first, *others = next(t.hard for t in record.certificate.turns if t.hard).distractors
    foreign = first.model_copy(update={"name": f"{first.name}_now"}) if renamed else first
    hard = HardTurn(kind="irrelevance", foreign=foreign)
    turn = CertifiedTurn(target="", mode="exact", gold=(), calls=(), hard=hard)
    turns = (*record.certificate.turns, turn)
    certificate = record.certificate.model_copy(update={"turns": turns})
    offered = names(to_trl_row(record.model_copy(update={"certificate": certificate})))
    assert first.name in names(to_trl_row(record))
    assert not {first.name, foreign.name} & offered
    assert {tool.name for tool in (*record.tools, *others)} <= offered


def test_mistake_in_a_whole_conversation_is_flagged(record_of):
    record = record_of("error_recovery")
    refused = {m.tool_call_id for m in record.messages if m.is_error}
    flagged = {
        call["id"]
        for message in to_trl_row(record)["messages"]
        if message.get("trainable") is False
        for call in message["tool_calls"]
    }
    assert refused and refused <= flagged


def test_mistake_is_in_the_prompt_and_never_the_completion(record_of):
    record = record_of("error_recovery")
    refused = {m.tool_call_id for m in record.messages if m.is_error}
    assert refused
    trained = {
        call["id"]
        for row in to_trl_step_rows(record)
        for message in row["completion"]
        for call in message.get("tool_calls", ())
    }
    assert trained and not trained & refused


def test_calls_in_parallel_are_one_completion(record_of):
    rows = to_trl_step_rows(record_of("parallel_calls"))
    assert max(len(row["completion"][0].get("tool_calls", ())) for row in rows) >= 2
