"""A person in the loop: what may be answered, what is refused, and what is kept of it."""

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from lockers import Lockers
from scripts import call_tools, calls, play
from threads import THREAD, open_saver

from funreason_agents import Environment, SynthesisContext, Trajectory, create_supervisor
from funreason_agents.export.formats import to_preference_rows
from funreason_agents.export.records import to_record
from funreason_agents.schemas.review import ReviewRequest
from funreason_agents.verification.replay import verify_record

BOTH = ("query", "turn")


class Corridors(Lockers):
    """Lockers whose search has a default, so that one call can be written in two ways."""

    def find_locker(self, owner: str, floor: int = 1) -> dict[str, Any]:
        """Find a person's locker.

        Args:
            owner: Full name of the person.
            floor: Where to begin to look.
        """
        return super().find_locker(owner)


class Desk:
    """One thread under review."""

    def __init__(self, environment, model=None, saver=None, index=0, **knobs):
        self.environment, self.index = environment, index
        self.model = model or play()
        self.context = SynthesisContext(**{"turns": 1, "filler_chars": 500, **knobs})
        self.graph = create_supervisor(
            environment=environment, model=self.model, checkpointer=saver or InMemorySaver()
        )
        self.out = None

    def start(self):
        return self._go({"seed": 1, "index": self.index})

    def answer(self, action, **fields):
        return self.resume({"action": action, **fields})

    def resume(self, answer):
        return self._go(Command(resume=answer))

    def accept_all(self):
        """Accept whatever is asked from here on, and return the trajectory."""
        while "__interrupt__" in self.out:
            self.answer("accept")
        assert self.out["status"] == "accepted"
        return Trajectory.model_validate(self.out["trajectory"])

    def _go(self, start):
        self.out = self.graph.invoke(start, THREAD, context=self.context)
        if "__interrupt__" not in self.out:
            return None
        return ReviewRequest.model_validate(self.out["__interrupt__"][0].value)


def names(request):
    """The checks that refused the last decision."""
    return [reason.partition(":")[0] for reason in request.refused]


def verify(trajectory, environment):
    record = to_record(trajectory, environment)
    assert verify_record(record, environment).problems == ()
    return record


@pytest.mark.parametrize("review", [("query",), ("turn",), BOTH])
def test_accepting_everything_gives_the_trajectory_of_a_run_without_review(environment, review):
    desk = Desk(environment, review=review, turns=2)
    desk.start()
    plain = Desk(environment, turns=2)
    plain.start()
    assert desk.accept_all() == plain.accept_all()


def test_request_shows_what_there_is_to_judge(environment):
    desk = Desk(environment, review=BOTH, turns=2)
    asked = [desk.start()]
    while (following := desk.answer("accept")) is not None:
        asked.append(following)
    assert [(each.turn, each.point) for each in asked] == [
        (turn, point) for turn in (0, 1) for point in BOTH
    ]
    first, second = desk.accept_all().turns
    assert [asked[1].query, asked[1].reply] == [first.query, first.attempt.reply]
    assert [call.result for call in asked[1].calls] == [
        step.result.content for step in first.attempt.executed
    ]
    assert asked[3].before == (first.query, first.attempt.reply)
    assert [call.name for call in asked[2].calls] == list(second.trace.tool_names)


def test_rejected_turn_is_counted_with_the_reason_and_another_target_is_drawn(environment):
    desk = Desk(environment, review=BOTH)
    first = desk.start()
    second = desk.answer("reject", reason="nobody says that")
    assert second.query != first.query
    desk.answer("accept")
    desk.answer("reject", reason="too short")
    trajectory = desk.accept_all()
    rejected = [(each.stage, each.reason) for each in trajectory.rejected_turns]
    assert rejected == [("review", "nobody says that"), ("review", "too short")]
    assert trajectory.rejected_turns[0].query == first.query
    assert trajectory.turns[0].turn_attempt == 3


def test_trajectory_of_which_each_draw_is_rejected_is_rejected(environment):
    desk = Desk(environment, review=("query",), turn_attempts=2)
    desk.start()
    desk.answer("reject", reason="no")
    assert desk.answer("reject", reason="no") is None
    assert desk.out["status"] == "rejected"


def test_edited_reply_is_verified_kept_and_paired_with_the_models(environment):
    desk = Desk(environment, review=("turn",))
    before = desk.start()
    after = desk.answer("edit_reply", reply="Done, there was a lantern in it.")
    assert (after.reply, after.refused) == ("Done, there was a lantern in it.", ())
    assert [edit.before for edit in after.edits] == [before.reply]
    record = verify(desk.accept_all(), environment)
    assert record.certificate.turns[0].edits == after.edits
    assert record.messages[-1].content == after.reply
    (row,) = to_preference_rows(record)
    assert [m["content"] for m in row["chosen"] + row["rejected"]] == [after.reply, before.reply]


def test_reply_that_claims_what_no_result_says_is_refused_and_changes_nothing(environment):
    desk = Desk(environment, review=("turn",))
    before = desk.start()
    refused = desk.answer("edit_reply", reply="Done, there was a kettle and 40 lamps in it.")
    assert names(refused) == ["reply_grounded"]
    assert refused.model_copy(update={"refused": ()}) == before
    assert desk.accept_all().turns[0].edits == ()


def test_edited_call_that_breaks_verification_is_refused_with_the_checks_named(environment):
    desk = Desk(environment, review=("turn",))
    desk.start()
    refused = desk.answer("edit_call", call=0, arguments={"owner": "Mira Oduya"})
    assert names(refused) == ["calls_match", "arguments_derivable"]
    invalid = desk.answer("edit_call", call=0, arguments={"colour": 3})
    assert "calls_valid" in names(invalid)
    plain = Desk(environment)
    plain.start()
    assert desk.accept_all() == plain.accept_all()


def test_edited_call_is_executed_anew_and_paired_with_the_models():
    environment = Environment.from_class(Corridors)
    desk = Desk(environment, review=("turn",))
    owner = desk.start().calls[0].arguments["owner"]
    theirs = {"owner": owner, "floor": 1}
    assert desk.answer("edit_call", call=0, arguments=theirs).calls[0].arguments == theirs
    record = verify(desk.accept_all(), environment)
    assert record.messages[1].tool_calls[0].arguments == theirs
    assert record.messages[1].reasoning is None
    (row,) = to_preference_rows(record)
    made = [
        message["tool_calls"][0]["function"]["arguments"]
        for message in row["chosen"] + row["rejected"]
    ]
    assert made == [theirs, {"owner": owner}]


def test_several_parts_of_a_turn_can_be_edited_before_it_is_accepted():
    environment = Environment.from_class(Corridors)
    desk = Desk(environment, review=("turn",))
    first = desk.start()
    owner = first.calls[0].arguments["owner"]
    desk.answer("edit_query", query=f"{first.query} Thanks in advance.")
    desk.answer("edit_call", call=0, arguments={"owner": owner, "floor": 1})
    last = desk.answer("edit_reply", reply="Done: lantern.")
    assert [edit.action for edit in last.edits] == ["edit_query", "edit_call", "edit_reply"]
    record = verify(desk.accept_all(), environment)
    assert record.certificate.turns[0].edits == last.edits
    assert len(to_preference_rows(record)) == 2


def test_message_with_a_call_that_is_refused_after_the_edit_is_not_trained_on(environment):
    def twice(call):
        if call.messages[-1].type == "human":
            return call_tools(*[("find_locker", {"owner": "Mira Oduya"})] * 2)
        return None

    desk = Desk(environment, play(reasoning=twice), review=("turn",), index=1)
    assert len(desk.start().calls) == 3
    after = desk.answer("edit_call", call=1, arguments={"owner": "Mira"})
    assert [call.is_error for call in after.calls] == [False, True, False], after.refused
    record = verify(desk.accept_all(), environment)
    assert [m.trainable for m in record.messages if m.tool_calls] == [False, True]
    assert to_preference_rows(record) == []


def test_edited_query_is_what_the_reasoner_sees(environment):
    desk = Desk(environment, review=("query",))
    first = desk.start()
    query = f"Good evening to you. {first.query}"
    assert desk.answer("edit_query", query=query).query == query
    assert not calls(desk.model, "reasoning")
    record = verify(desk.accept_all(), environment)
    assert query in calls(desk.model, "reasoning")[0].prompt
    assert record.messages[0].content == query
    (edit,) = record.certificate.turns[0].edits
    assert (edit.before, edit.after) == (first.query, query)
    assert to_preference_rows(record) == []


@pytest.mark.parametrize("point", BOTH)
def test_query_that_the_gate_refuses_is_refused(environment, point):
    desk = Desk(environment, review=(point,))
    desk.start()
    refused = desk.answer("edit_query", query="Please look into the locker.")
    assert names(refused)[0] == "query_clean"
    assert "the value for 'owner' is missing" in refused.refused[0]
    assert desk.accept_all().turns[0].edits == ()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("accept", "dict"),
        (["accept"], "dict"),
        ({"query": "so"}, "action"),
        ({"action": "approve"}, "action"),
        ({"action": "reject"}, "'reject' needs 'reason'"),
        ({"action": "reject", "reason": "  "}, "'reject' needs 'reason'"),
        ({"action": "accept", "reply": "so"}, "'accept' takes no 'reply'"),
        ({"action": "accept", "sure": True}, "sure"),
        ({"action": "edit_call", "call": 9, "arguments": {}}, "there is no call 9"),
        ({"action": "edit_call", "call": -1, "arguments": {}}, "call"),
        ({"action": "edit_call", "call": 0, "arguments": {"a": float("nan")}}, "no JSON"),
        ({"action": "edit_reply", "reply": "\ud800"}, "no JSON"),
    ],
)
def test_decision_that_cannot_be_taken_is_asked_for_again(environment, answer, told):
    desk = Desk(environment, review=("turn",))
    before = desk.start()
    again = desk.resume(answer)
    assert told in " ".join(again.refused)
    assert again.model_copy(update={"refused": ()}) == before
    assert desk.answer("accept") is None


def test_action_of_the_other_point_is_refused(environment):
    desk = Desk(environment, review=("query",))
    desk.start()
    assert "not possible at a query" in desk.answer("edit_reply", reply="so").refused[0]


def test_edit_that_changes_nothing_is_refused(environment):
    desk = Desk(environment, review=("turn",))
    reply = desk.start().reply
    assert "change nothing" in desk.answer("edit_reply", reply=reply).refused[0]
    assert desk.accept_all().turns[0].edits == ()


@pytest.mark.parametrize("point", BOTH)
def test_text_of_a_long_context_stays_around_an_edited_query(environment, point):
    desk = Desk(environment, review=(point,), hard_turns={"long_context": 1.0})
    first = desk.start()
    assert first.filler_chars >= 400
    query = f"{first.query} That would help."
    assert desk.answer("edit_query", query=query).query == query
    trajectory = desk.accept_all()
    verify(trajectory, environment)
    (turn,) = trajectory.turns
    assert turn.query.replace(turn.hard.filler, "").strip() == query
    assert [edit.after for edit in turn.edits] == [query]


@pytest.mark.parametrize("point", BOTH)
def test_edited_query_may_not_say_the_missing_parameter(environment, point):
    desk = Desk(environment, review=(point,), hard_turns={"missing_parameter": 1.0})
    first = desk.start()
    assert "Tomas Feld" in first.then
    refused = desk.answer("edit_query", query=f"{first.query} It is about Tomas Feld.")
    assert names(refused) == ["query_clean", "turn_kind"]
    assert "must leave out" in refused.refused[0]
    query = f"{first.query} That would help."
    assert desk.answer("edit_query", query=query).refused == ()
    verify(desk.accept_all(), environment)


@pytest.mark.parametrize("point", BOTH)
def test_edited_query_is_judged_with_what_completes_it(environment, point):
    desk = Desk(environment, review=(point,), hard_turns={"missing_function": 1.0}, index=1)
    first = desk.start()
    refused = desk.answer("edit_query", query="Hello. Please empty a locker.")
    assert "query_clean: the value for 'owner' is missing" in refused.refused[0]
    desk.answer("edit_query", query=f"{first.query} That would help.")
    record = verify(desk.accept_all(), environment)
    assert [len(turn.edits) for turn in record.certificate.turns] == [1, 0]


@pytest.mark.parametrize("point", BOTH)
def test_edited_query_that_a_tool_could_serve_is_no_irrelevance(environment, point):
    desk = Desk(environment, review=(point,), hard_turns={"irrelevance": 1.0})
    desk.start()
    refused = desk.answer("edit_query", query="Please open a locker and list what is in it.")
    assert names(refused) == ["turn_kind"]


def test_planted_mistake_stays_as_it_is(environment):
    desk = Desk(environment, review=("turn",), hard_turns={"error_recovery": 1.0})
    first = desk.start()
    assert first.calls[0].is_error
    refused = desk.answer("edit_call", call=0, arguments={"owner": "Tomas"})
    assert "mistake" in refused.refused[0]
    verify(desk.accept_all(), environment)


def test_rejecting_the_completion_drops_both_messages_of_the_turn(environment):
    desk = Desk(environment, review=("turn",), hard_turns={"missing_parameter": 1.0})
    desk.start()
    second = desk.answer("accept")
    assert second.before[0] == desk.graph.get_state(THREAD).values["parts"][0]["turn"]["query"]
    desk.answer("reject", reason="odd")
    trajectory = desk.accept_all()
    assert [turn.index for turn in trajectory.turns] == [0, 0]
    assert trajectory.turns[0].turn_attempt == 2


def test_another_graph_on_the_same_threads_finds_the_pending_request(tmp_path):
    path = tmp_path / "threads.sqlite"
    with open_saver(path) as saver:
        desk = Desk(Environment.from_class(Lockers), saver=saver, review=("turn",))
        desk.start()
        edited = desk.answer("edit_reply", reply="Done: lantern.")
    with open_saver(path) as saver:
        desk = Desk(Environment.from_class(Lockers), saver=saver, review=("turn",))
        (pending,) = desk.graph.get_state(THREAD).interrupts
        assert ReviewRequest.model_validate(pending.value) == edited
        assert desk.answer("accept") is None
        assert desk.out["trajectory"]["turns"][0]["edits"]
