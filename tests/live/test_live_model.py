"""What must hold of a real server, however weak its model; `make live-test` starts one."""

import json
import os
import urllib.request
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI

from funreason_agents import SynthesisContext, errors, load_environment, synthesize

URL = os.environ.get("FUNREASON_LIVE_URL", "")
ROOT = Path(__file__).resolve().parents[2]
LEAST_TELLING = ("FunReasonError", "ModelError")
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell today's weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Porto", "Leeds"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}

pytestmark = [
    pytest.mark.skipif(not URL, reason="FUNREASON_LIVE_URL names no server; see `make live-test`"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def model():
    with urllib.request.urlopen(f"{URL}/models", timeout=30) as answer:
        name = json.load(answer)["data"][0]["id"]
    return ChatOpenAI(
        model=name,
        base_url=URL,
        api_key="not-needed",
        max_completion_tokens=200,
        temperature=0,
        timeout=180,
        max_retries=0,
    )


def test_the_server_holds_an_answer_to_a_json_schema(model):
    schema = {
        "type": "object",
        "properties": {"city": {"enum": ["Porto", "Leeds"]}, "sunny": {"type": "boolean"}},
        "required": ["city", "sunny"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "Weather", "schema": schema}}
    answer = model.bind(extra_body={"response_format": form}).invoke("Is it sunny in Porto?")
    said = json.loads(answer.content)
    assert set(said) == {"city", "sunny"}
    assert said["city"] in ("Porto", "Leeds")


def test_a_forced_call_names_the_offered_tool(model):
    bound = model.bind_tools([WEATHER], tool_choice="get_weather")
    answer = bound.invoke("What is the weather in Leeds?")
    assert [call["name"] for call in answer.tool_calls] == ["get_weather"]
    assert not answer.invalid_tool_calls


def test_calls_and_results_of_earlier_steps_are_accepted_by_the_chat_template(model):
    call = {"name": "get_weather", "args": {"city": "Porto"}, "id": "call_0"}
    chat = [
        SystemMessage("You are an assistant with tools."),
        HumanMessage("What is the weather in Porto?"),
        AIMessage("", tool_calls=[call]),
        ToolMessage('{"weather": "rain"}', tool_call_id="call_0", name="get_weather"),
    ]
    with_tools, without = model.bind_tools([WEATHER]).invoke(chat), model.invoke(chat[:2])
    assert with_tools.content or with_tools.tool_calls or with_tools.invalid_tool_calls
    assert with_tools.usage_metadata["input_tokens"] > without.usage_metadata["input_tokens"]


@pytest.mark.parametrize("role", ["tooling", "querying", "reasoning", "critiquing"])
def test_a_trajectory_ends_with_an_outcome_of_a_known_kind(model, role, tmp_path):
    run = synthesize(
        environment=load_environment(f"{ROOT}/tools/bookstore.py:Bookstore"),
        num_trajectories=1,
        out=tmp_path,
        models={role: model},
        context=SynthesisContext(turns=1, turn_attempts=1, critic_rounds=2),
    )
    assert run.accepted + run.rejected + run.failed == 1
    for name in run.statistics.errors:
        assert issubclass(getattr(errors, name), errors.FunReasonError)
        assert name not in LEAST_TELLING
    if run.rejected:
        assert run.statistics.rejections
