import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from scripts import calls, give_up, offline_answer, play

from funreason_agents import SynthesisContext, Trajectory, create_supervisor
from funreason_agents.environments.sessions import SessionPool
from funreason_agents.export.records import to_record
from funreason_agents.schemas.trajectory import RejectedTurn

TWO = SynthesisContext(turns=2)


def run(environment, model, context=TWO, index=0):
    supervisor = create_supervisor(environment=environment, model=model)
    return supervisor.invoke({"seed": 1, "index": index}, context=context)


def test_accepted_trajectory_has_the_planned_turns(environment):
    out = run(environment, play())
    trajectory = Trajectory.model_validate(out["trajectory"])
    assert (out["status"], trajectory.planned_turns) == ("accepted", 2)
    assert [turn.index for turn in trajectory.turns] == [0, 1]
    assert trajectory.turns[1].trace.state_before == trajectory.turns[0].trace.state_after


def test_without_a_context_the_defaults_are_used(environment):
    supervisor = create_supervisor(environment=environment)
    assert supervisor.invoke({})["trajectory"]["planned_turns"] == SynthesisContext().turns


def test_second_turn_sees_the_first_one(environment):
    model = play()
    trajectory = Trajectory.model_validate(run(environment, model)["trajectory"])
    last = calls(model, "querying")[-1]
    assert last.data["conversation"][0] == trajectory.turns[0].query
    assert trajectory.turns[0].query in calls(model, "reasoning")[-1].prompt


def test_rejected_turn_draws_again_and_then_the_trajectory_is_rejected(environment):
    model = play(reasoning=give_up)
    context = SynthesisContext(turns=2, turn_attempts=2, critic_rounds=2)
    out = run(environment, model, context)
    trajectory = Trajectory.model_validate(out["trajectory"])
    assert (out["status"], trajectory.turns) == ("rejected", ())
    drawn = [(r.turn, r.turn_attempt, r.stage, r.reason) for r in trajectory.rejected_turns]
    assert drawn == [(0, n, "reasoner_critic", "calls_match") for n in (1, 2)]
    assert len(calls(model, "reasoning")) == 4
    assert all(rejected.critiques for rejected in trajectory.rejected_turns)


def test_trajectory_goes_on_after_a_rejected_turn(environment):
    first = []

    def fold_badly_once(call):
        if not first:
            first.append(call.prompt)
        return "no" if call.prompt.startswith(first[0]) else None

    out = run(environment, play(tooling=fold_badly_once))
    trajectory = Trajectory.model_validate(out["trajectory"])
    assert out["status"] == "accepted"
    (rejected,) = trajectory.rejected_turns
    assert (rejected.stage, rejected.reason) == ("query_writer", "unparseable_answer")
    assert rejected.trace is not None
    assert trajectory.turns[0].turn_attempt == 2


def test_scaffolding_is_absent_from_records(environment):
    def fold(call):
        return {**offline_answer(call), "name": "zebra_tool", "output": "a zebra"}

    def reason(call):
        return None if call.data["critiques"] else "The walrus cannot do that."

    def criticise(call):
        return {"kind": "missing_call", "step": 0, "text": "Begin anew, says the ocelot."}

    model = play(tooling=fold, reasoning=reason, critiquing=criticise)
    trajectory = Trajectory.model_validate(run(environment, model)["trajectory"])
    raw = trajectory.model_dump_json()
    record = to_record(trajectory, environment)
    assert "zebra" in raw
    assert record.provenance.rounds == (2, 2)
    text = record.model_dump_json()
    assert not [word for word in ("zebra", "walrus", "ocelot", "composition") if word in text]


def test_thread_id_and_models_are_noted(environment, saver, thread):
    supervisor = create_supervisor(environment=environment, model=play(), checkpointer=saver)
    out = supervisor.invoke({"seed": 1}, thread, context=TWO)
    assert out["trajectory"]["thread_id"] == thread["configurable"]["thread_id"]
    assert set(out["trajectory"]["models"].values()) == {"scripted"}


def test_index_is_the_trajectory_whatever_ran_before(environment):
    supervisor = create_supervisor(environment=environment)
    alone = supervisor.invoke({"seed": 1, "index": 3}, context=TWO)
    for index in range(3):
        run(environment, play(), index=index)
    assert supervisor.invoke({"seed": 1, "index": 3}, context=TWO) == alone


def test_parallel_supervisors_share_one_session_pool(environment):
    pool = SessionPool(environment, max_idle=5)
    supervisor = create_supervisor(environment=environment, sessions=pool)

    def one(index):
        return supervisor.invoke({"seed": 1, "index": index % 8}, context=TWO)

    with ThreadPoolExecutor(8) as executor:
        parallel = list(executor.map(one, range(16)))
    assert parallel[:8] == parallel[8:]
    assert parallel[:8] == [one(index) for index in range(8)]
    pool.close()


def test_ainvoke_gives_what_invoke_gives(environment, thread):
    supervisor = create_supervisor(environment=environment, checkpointer=InMemorySaver())
    asked = {"seed": 1, "index": 2}
    awaited = asyncio.run(supervisor.ainvoke(asked, thread, context=TWO))
    fresh = create_supervisor(environment=environment, checkpointer=InMemorySaver())
    assert awaited == fresh.invoke(asked, thread, context=TWO)


def test_drawing_shows_the_inner_nodes(environment):
    drawing = create_supervisor(environment=environment).get_graph(xray=True).draw_mermaid()
    for node in ("explore", "write_query", "criticise", "settle_turn", "review_turn"):
        assert node in drawing


def test_context_out_of_bounds_is_refused(environment):
    supervisor = create_supervisor(environment=environment)
    with pytest.raises(ValueError, match="turns"):
        supervisor.invoke({}, context={"turns": 0})
    with pytest.raises(ValueError, match="tunrs"):
        supervisor.invoke({}, context={"turns": 1, "tunrs": 0})


def test_output_is_plain_json(environment):
    out = run(environment, play())
    assert json.loads(json.dumps(out)) == out


def test_second_run_on_a_thread_forgets_which_trajectory_was_asked_for(environment, saver, thread):
    supervisor = create_supervisor(environment=environment, model=play(), checkpointer=saver)
    first = supervisor.invoke({"seed": 4, "index": 3}, thread, context=TWO)["trajectory"]
    second = supervisor.invoke({}, thread, context=TWO)["trajectory"]
    assert [(each["run_seed"], each["index"]) for each in (first, second)] == [(4, 3), (0, 0)]
    assert supervisor.get_state(thread).values["trajectory"] == second


def test_rejected_second_part_is_noted_with_its_trace(environment):
    def answer_first_part_only(call):
        asked = [message for message in call.messages if message.type == "human"]
        return give_up(call) if len(asked) > 1 else None

    model = play(reasoning=answer_first_part_only)
    context = SynthesisContext(turns=1, turn_attempts=2, hard_turns={"missing_parameter": 1.0})
    rejected = [
        RejectedTurn.model_validate(each)
        for index in range(10)
        for each in run(environment, model, context, index)["trajectory"]["rejected_turns"]
    ]
    second = [each for each in rejected if each.stage == "reasoner_critic"]
    assert second
    assert all(each.trace is not None and each.trace.calls for each in second)
