from scripts import calls, offline_answer, play

from funreason_agents import SynthesisContext, create_environment_explorer, create_query_writer


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


def test_second_run_on_a_thread_forgets_the_optional_inputs(environment, trace, saver, thread):
    explorer = create_environment_explorer(environment=environment)
    idle = explorer.invoke({"turn_kind": "irrelevance"})["call_trace"]
    said = [{"key": "0/0", "message": {"role": "user", "content": "Is it about zebras?"}}]
    asked = {"run_seed": 5, "index": 7, "turn": 1, "turn_attempt": 2, "conversation": said}
    model = play()
    writer = create_query_writer(environment=environment, model=model, checkpointer=saver)
    first = writer.invoke({"call_trace": idle, "turn_kind": "irrelevance", **asked}, thread)
    assert first["turn_task"]["hard"]["kind"] == "irrelevance"
    assert "zebras" in calls(model, "querying")[-1].prompt
    second = writer.invoke({"call_trace": trace}, thread)
    assert "zebras" not in calls(model, "querying")[-1].prompt
    assert second == write(environment, play(), trace)
    held = writer.get_state(thread).values
    assert (held["call_trace"], held["turn_task"]) == (trace, second["turn_task"])


def test_rejected_run_leaves_no_optional_inputs_either(environment, trace, saver, thread):
    def make(model):
        return create_query_writer(environment=environment, model=model, checkpointer=saver)

    troubles = (play(tooling=lambda call: "no"), play(querying=lambda call: "no"))
    for model in (*troubles, play(querying=lambda call: {"query": "Run find_locker for me."})):
        asked = {"call_trace": trace, "index": 7, "turn_kind": "long_context"}
        assert make(model).invoke(asked, thread)["rejection"]
        again = make(play()).invoke({"call_trace": trace}, thread)
        assert again == write(environment, play(), trace)
