"""Stored forms of what must not change unnoticed. `UPDATE_SNAPSHOTS=1` rewrites them."""

import json
import os
from pathlib import Path

import pytest
from sources import ROOT

from funreason_agents.graphs.agents import (
    criticise,
    judge_query,
    make_advanced_tool,
    take_step,
    write_query,
)
from funreason_agents.graphs.noise import draw_noise
from funreason_agents.models.client import CallScope, ModelClient
from funreason_agents.prompts import ROLES
from funreason_agents.schemas.record import SCHEMA_VERSION, TrainingRecord
from funreason_agents.schemas.tasks import AdvancedTool, CallTrace, OuterInput, TurnTask
from funreason_agents.schemas.tools import ExecutedCall, Origin, ToolCall, ToolResult, ToolSpec
from funreason_agents.schemas.trajectory import Attempt, Check, Critique, Message, Verdict
from funreason_agents.testing.scripted import ScriptedChatModel
from funreason_agents.verification.derivations import Facts

SCHEMA = Path(__file__).with_name("training_record.schema.json")
PROMPTS = ROOT / "tests" / "unit" / "prompts" / "snapshots"
UPDATE = os.environ.get("UPDATE_SNAPSHOTS") == "1"

TOOLS = tuple(
    ToolSpec(
        name=name,
        description=description,
        parameters={
            "type": "object",
            "properties": {parameter: {"type": "string"}},
            "required": [parameter],
        },
    )
    for name, description, parameter in (
        ("find_locker", "Find a person's locker.", "owner"),
        ("open_locker", "Open a locker and list what is in it.", "locker_number"),
    )
)
FIND = ExecutedCall(
    call=ToolCall(id="call_0", name="find_locker", arguments={"owner": "Ines Kato"}),
    result=ToolResult(call_id="call_0", content={"locker_number": "L-4711"}),
    state_before="a",
    state_after="a",
)
OPEN = ExecutedCall(
    call=ToolCall(id="call_1", name="open_locker", arguments={"locker_number": "L-4711"}),
    result=ToolResult(call_id="call_1", content={"items": ["kettle"]}),
    state_before="a",
    state_after="a",
    origins={"/locker_number": Origin(kind="output", call=0, path="/locker_number")},
)
TASK = TurnTask(
    query="What is in the locker of Ines Kato?",
    advanced_tool=AdvancedTool(
        name="list_locker",
        description="list what is in a person's locker",
        inputs=(OuterInput(label="owner", value="Ines Kato"),),
        output="the items",
        composition=("find_locker", "open_locker"),
    ),
    trace=CallTrace(
        environment_id="lockers",
        seed=1,
        target="open_locker",
        state_before="a",
        calls=(FIND, OPEN),
        requests=(1,),
    ),
)
CRITIQUE = Critique(round=1, kind="missing_call", step=1, text="It stops too early.")
ATTEMPT = Attempt(
    round=1,
    messages=(Message(role="assistant", content="Done.", trainable=True),),
    executed=(FIND,),
    stop="replied",
)
VERDICT = Verdict(
    checks=(
        Check(
            name="calls_match", passed=False, mode="exact",
            details={"kind": "missing_call", "step": 1},
        ),
    ),
    verifier_version=1,
)  # fmt: skip


def render(role):
    """Everything that the model of `role` is shown, as its agent puts it."""
    answers = {
        "tooling": TASK.advanced_tool.to_json(),
        "querying": {"query": TASK.query},
        "reasoning": "Done.",
        "critiquing": {"kind": "missing_call", "text": "It stops too early."},
        "judging": {"natural": True, "answerable": True, "reason": ""},
    }
    model = ScriptedChatModel(respond=lambda messages, tools: answers[role])
    client, scope = ModelClient(role, model), CallScope()
    if role == "tooling":
        make_advanced_tool(client, TASK.trace, TOOLS, Facts(), scope)
    elif role == "querying":
        noise = draw_noise(7, 0, 0, 1, ("English",))
        problems = ["it contains call syntax"]
        write_query(client, TASK.advanced_tool, ["Hello."], noise, problems, scope)
    elif role == "reasoning":
        take_step(client, TASK, TOOLS, [], [CRITIQUE], scope)
    elif role == "judging":
        judge_query(client, TASK.query, TASK.advanced_tool, ["Hello."], scope)
    else:
        criticise(client, TASK, ATTEMPT, VERDICT, scope)
    (call,) = model.calls
    bound = f"\n\n[tools]\n{json.dumps(call.tools, indent=2)}" if call.tools else ""
    return f"{call.prompt}{bound}\n"


@pytest.mark.parametrize("role", ROLES)
def test_rendered_prompt_is_the_stored_one(role):
    path, text = PROMPTS / f"{role}.md", render(role)
    if UPDATE:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, (
        f"what the {role} model is shown has changed, and with it the data; "
        "if that is meant, rewrite with UPDATE_SNAPSHOTS=1"
    )


def test_record_schema_changes_only_with_its_version():
    current = {"schema_version": SCHEMA_VERSION, "schema": TrainingRecord.model_json_schema()}
    if UPDATE:
        SCHEMA.write_text(json.dumps(current, indent=2) + "\n", encoding="utf-8")
    stored = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert current == stored, (
        f"the record's JSON Schema is not the stored one of version {stored['schema_version']}; "
        "bump SCHEMA_VERSION, then rewrite with UPDATE_SNAPSHOTS=1"
    )
