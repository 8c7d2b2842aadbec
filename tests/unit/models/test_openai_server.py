"""Against a server on 127.0.0.1 that speaks OpenAI's protocol."""

import importlib.util
import json
from pathlib import Path

import pytest
from langchain_core.messages import convert_to_messages

from funreason_agents import SynthesisContext, load_environment, synthesize
from funreason_agents.errors import ModelOutputError, TransientModelError
from funreason_agents.models.calls import require_sound
from funreason_agents.models.client import Retries
from funreason_agents.models.openai_compatible import OpenAICompatibleModel

TESTS = Path(__file__).parents[2]
KEY = "sk-canary-5b1c"


@pytest.fixture
def server(monkeypatch):
    path = TESTS / "servers" / "fake_openai.py"
    spec = importlib.util.spec_from_file_location("fake_openai", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with module.serve_openai() as served:
        yield served


def run_with(server, out, number=3, **options):
    environment = load_environment(f"{TESTS / 'unit' / 'runs' / 'kiosk.py'}:Kiosk", isolated=False)
    return synthesize(
        environment=environment,
        num_trajectories=number,
        out=out,
        model="openai:small",
        base_url=server.base_url,
        context=SynthesisContext(turns=1),
        **options,
    )


def holds_key(out):
    return [path.name for path in out.iterdir() if KEY.encode() in path.read_bytes()]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_server_makes_records_with_its_reasoning_and_without_the_key(server, tmp_path, field):
    server.reasoning_field = field
    run = run_with(server, tmp_path)
    assert run.accepted == 3
    headers, body = server.requests[0]
    assert headers["authorization"] == f"Bearer {KEY}"
    assert body["model"] == "small"
    for record in run.records():
        assert set(record.provenance.models.values()) == {"small"}
        acting = [m for m in record.messages if m.tool_calls]
        assert acting
        assert all(m.reasoning and m.reasoning.startswith("Next: ") for m in acting)
    assert holds_key(tmp_path) == []


def test_key_that_the_server_repeats_is_in_no_file(server, tmp_path):
    server.refuse_with = 401
    run = run_with(server, tmp_path, number=2)
    assert set(run.statistics.errors) == {"PermanentModelError"}
    assert "refused: Bearer ***" in run.statistics.failures[0].message
    assert holds_key(tmp_path) == []


def test_server_that_refused_is_asked_again_by_the_same_line(server, tmp_path):
    server.refuse_with = 503
    retries = Retries(attempts=3, first=0.0)
    assert run_with(server, tmp_path, number=1, retries=retries).failed == 1
    assert len(server.requests) == 3
    server.refuse_with = None
    assert run_with(server, tmp_path, number=1).accepted == 1


def test_server_is_asked_to_enforce_the_schema_of_an_object(server, tmp_path):
    run_with(server, tmp_path, number=1)
    asked = [body.get("response_format") for _, body in server.requests if "tools" not in body]
    assert {each["type"] for each in asked} == {"json_schema"}
    forms = [each["json_schema"]["schema"] for each in asked]
    assert {"query"} in [set(form["properties"]) for form in forms]
    assert not any("Draft" in text for text in map(str, forms) if "$defs" not in text)
    acting = [body for _, body in server.requests if "tools" in body]
    assert acting
    assert not any("response_format" in body for body in acting)


def test_a_request_holds_all_that_the_user_adds_to_it(server, tmp_path):
    run_with(server, tmp_path, number=1)
    plain = next(body for _, body in server.requests if "tools" in body)
    model = OpenAICompatibleModel(
        model="small",
        base_url=server.base_url,
        extra_body={"top_k": 3},
        temperature=0.5,
        default_headers={"x-gateway": "north"},
    )
    told = model.bind(tools=plain["tools"], stop=["END"], extra_headers={"x-team": "blue"})
    answer = told.invoke(convert_to_messages(plain["messages"]))
    headers, body = server.requests[-1]
    assert (headers["x-gateway"], headers["x-team"]) == ("north", "blue")
    assert body == {**plain, "top_k": 3, "temperature": 0.5, "stop": ["END"]}
    assert answer.response_metadata["model_name"] == "small"
    assert answer.usage_metadata["total_tokens"] == 2


def completion(**message):
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    return json.dumps({"id": "1", "model": "small", "choices": [choice], "usage": usage})


def test_a_refusal_is_told_from_an_empty_answer(server):
    server.told = ("application/json", completion(content=None, refusal="I can't."))
    answer = OpenAICompatibleModel(model="small", base_url=server.base_url).invoke("Hello")
    assert answer.additional_kwargs["refusal"] == "I can't."
    with pytest.raises(ModelOutputError) as refused:
        require_sound(answer)
    assert refused.value.kind == "refused"


@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream"])
def test_an_answer_is_read_whatever_type_the_server_gives_it(server, content_type):
    server.told = (content_type, completion(content="Hi."))
    answer = OpenAICompatibleModel(model="small", base_url=server.base_url).invoke("Hello")
    assert (answer.text, answer.usage_metadata["total_tokens"]) == ("Hi.", 5)


def test_a_page_that_is_no_answer_is_trouble_of_the_server(server):
    server.told = ("text/html", "<html>Sign in</html>")
    with pytest.raises(TransientModelError, match="Sign in"):
        OpenAICompatibleModel(model="small", base_url=server.base_url).invoke("Hello")


def test_response_headers_are_there_for_who_asks_for_them(server):
    server.told = ("application/json", completion(content="Hi."))
    model = OpenAICompatibleModel(
        model="small", base_url=server.base_url, include_response_headers=True
    )
    headers = model.invoke("Hello").response_metadata["headers"]
    assert headers["content-type"] == "application/json"
