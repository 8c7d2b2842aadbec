from scripts import calls, offline_answer, play

from funreason_agents import SynthesisContext, create_query_writer


def write(environment, model, trace, **context):
    writer = create_query_writer(environment=environment, model=model)
    return writer.invoke({"call_trace": trace}, context=SynthesisContext(**context))


def test_writer_sees_the_advanced_tool_and_never_its_sub_tools(environment, trace):
    model = play()
    write(environment, model, trace)
    (asked,) = calls(model, "querying")
    assert asked.data["advanced_tool"]["description"]
    assert not [tool.name for tool in environment.tools if tool.name in asked.prompt]


def test_query_that_fails_the_gate_goes_back_with_the_reason(environment, trace):
    def write_query(call):
        return None if call.data["problems"] else {"query": "Run find_locker for me."}

    model = play(querying=write_query)
    out = write(environment, model, trace)
    first, second = calls(model, "querying")
    assert first.data["problems"] == []
    assert any("'find_locker'" in problem for problem in second.data["problems"])
    assert out["turn_task"]["query_rounds"] == 2


def test_query_rounds_are_bounded(environment, trace):
    model = play(querying=lambda call: {"query": "Run find_locker for me."})
    out = write(environment, model, trace, query_rounds=2)
    assert (out["turn_task"], out["rejection"]) == (None, "query_gate")
    assert len(calls(model, "querying")) == 2


def test_unparseable_advanced_tool_is_a_rejection(environment, trace):
    model = play(tooling=lambda call: "Here you are!")
    assert write(environment, model, trace)["rejection"] == "unparseable_answer"
    assert len(calls(model, "tooling")) == 3


def test_unparseable_query_is_a_rejection(environment, trace):
    model = play(querying=lambda call: '{"wrong": true}')
    assert write(environment, model, trace)["rejection"] == "unparseable_answer"


def test_advanced_tool_without_an_input_is_a_rejection(environment, trace):
    model = play(tooling=lambda call: {**offline_answer(call), "inputs": []})
    assert write(environment, model, trace)["rejection"] == "incomplete_advanced_tool"
    assert not calls(model, "querying")


def test_answer_is_read_from_a_fenced_block_after_a_thought(environment, trace):
    def fold(call):
        import json

        return f"<think>Hm.</think>Sure:\n```json\n{json.dumps(offline_answer(call))}\n```"

    assert write(environment, play(tooling=fold), trace)["turn_task"]
