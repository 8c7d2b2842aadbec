"""What models are shown during refinement, as stored; `UPDATE_SNAPSHOTS=1` rewrites it."""

import os
from pathlib import Path

import pytest

from funreason_agents.models.client import CallScope, ModelClient
from funreason_agents.refinement.agents import (
    make_judge,
    make_needs_call,
    make_regenerate,
    make_student,
    score_answer,
)
from funreason_agents.refinement.checks import Finding
from funreason_agents.refinement.rows import Step
from funreason_agents.testing.scripted import ScriptedChatModel

SNAPSHOTS = Path(__file__).parents[1] / "prompts" / "snapshots"
SCOPE = CallScope(thread_id="t", node="n")
TOOL = {
    "type": "function",
    "function": {
        "name": "find_locker",
        "description": "Find a person's locker.",
        "parameters": {
            "type": "object",
            "properties": {"owner": {"type": "string"}},
            "required": ["owner"],
        },
    },
}
CALL = {"id": "c", "type": "function"}
MESSAGE = {
    "role": "assistant",
    "content": "",
    "reasoning_content": "I look for the locker of Ines Kato.",
    "tool_calls": [{**CALL, "function": {"name": "find_locker", "arguments": {"owner": "Kato"}}}],
}
ROW = {
    "prompt": [{"role": "user", "content": "Where is the locker of Ines Kato?"}],
    "completion": [MESSAGE],
    "tools": [TOOL],
}
STEP = Step(ROW, MESSAGE)
ANSWERS = {
    "refine_judge": {"passed": True},
    "refine_answer": {"calls": [{"name": "find_locker", "arguments": {"owner": "Ines Kato"}}]},
    "refine_score": {"score": 0.75},
}


def client(answer):
    model = ScriptedChatModel(respond=lambda *_: answer)
    return ModelClient("refine_judge", model), model


def ask(role):
    asked, model = client(ANSWERS[role])
    if role == "refine_judge":
        assert make_judge(asked, SCOPE)(3, STEP) is None
    elif role == "refine_answer":
        made = make_regenerate(asked, SCOPE)(STEP, Finding(4, "wrong_value"))
        assert made["tool_calls"][0]["function"]["arguments"] == {"owner": "Ines Kato"}
    else:
        assert score_answer([asked], STEP, 0.5, SCOPE) == 1
    return model.calls[0].messages[0].text


@pytest.mark.parametrize("role", sorted(ANSWERS))
def test_rendered_prompt_is_the_stored_one(role):
    path, text = SNAPSHOTS / f"{role}.md", ask(role)
    if os.environ.get("UPDATE_SNAPSHOTS") == "1":
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


def test_judges_must_all_reach_the_threshold():
    judges = [client({"score": score})[0] for score in (0.5, 0.9, 0.49)]
    assert score_answer(judges, STEP, 0.5, SCOPE) == pytest.approx(2 / 3)
    assert score_answer(judges[:2], STEP, 0.5, SCOPE) == 1
    assert score_answer([], STEP, 0.5, SCOPE) == 1


def test_answers_that_cannot_be_read_refuse():
    lost = client("I do not know.")[0]
    assert make_judge(lost, SCOPE)(2, STEP) == "unusable_judgement"
    assert score_answer([lost], STEP, 0.0, SCOPE) == 0
    assert make_needs_call(lost, SCOPE)(STEP) is True


def test_chat_model_as_student_answers_each_row_as_often_as_asked():
    student = make_student(client("It is upstairs.")[0], SCOPE)
    before = {"role": "tool", "tool_call_id": "c", "name": "find_locker", "content": "{}"}
    longer = {**ROW, "prompt": [*ROW["prompt"], {**MESSAGE, "content": ""}, before]}
    assert (
        student([ROW, longer], 2) == [[{"role": "assistant", "content": "It is upstairs."}] * 2] * 2
    )
