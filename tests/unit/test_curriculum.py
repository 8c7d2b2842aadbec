"""What a student cannot do, and what is headed for because of it."""

import itertools
import threading
from collections import Counter
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, SystemMessage

from funreason_agents import Environment, SynthesisContext, load_environment, synthesize
from funreason_agents.curriculum import (
    estimate_pass_at,
    probe_student,
    read_profile,
    write_profile,
)
from funreason_agents.curriculum.profile import FLOOR, Outcome, make_profile
from funreason_agents.errors import (
    ConfigurationError,
    FunReasonError,
    PermanentModelError,
    TransientModelError,
)
from funreason_agents.export.writer import write_records
from funreason_agents.graphs.conversation import to_chat
from funreason_agents.models.client import Retries
from funreason_agents.models.offline.model import answer_messages
from funreason_agents.prompts import render_prompt
from funreason_agents.schemas.base import canonical_json
from funreason_agents.testing import ScriptedChatModel
from funreason_agents.tool_graph.coverage import plan_target

ROOT = Path(__file__).parents[2]
KINDS = (
    "missing_function",
    "missing_parameter",
    "long_context",
    "parallel_calls",
    "irrelevance",
    "error_recovery",
)
ONCE = Retries(attempts=1)
NO_HINT = '{"description": null, "composition": [], "parallel": false, "critiques": []}'


@pytest.fixture(scope="module")
def bookstore():
    return load_environment(str(ROOT / "tools" / "bookstore.py:Bookstore"), isolated=False)


@pytest.fixture(scope="module")
def records(bookstore, tmp_path_factory):
    """Records with hard turns of every kind."""
    run = synthesize(
        environment=bookstore,
        num_trajectories=30,
        out=tmp_path_factory.mktemp("run"),
        seed=11,
        context=SynthesisContext(hard_turns=dict.fromkeys(KINDS, 0.1)),
    )
    records = run.records()
    kinds = {turn.hard.kind for record in records for turn in record.certificate.turns if turn.hard}
    assert kinds == set(KINDS)
    return records


def key_of(chat):
    said = [
        [each.type, each.text, [[c["name"], c["args"]] for c in getattr(each, "tool_calls", [])]]
        for each in chat
    ]
    return canonical_json(said)


def make_student(records, never=None, **options):
    """A student that answers as the records do, except that it never calls the tool `never`."""
    known = {
        key_of(to_chat(record.messages[:position])): message
        for record in records
        for position, message in enumerate(record.messages)
        if message.role == "assistant"
    }

    def respond(messages, tools):
        message = known[key_of(messages)]
        if never in {call.name for call in message.tool_calls}:
            return "I cannot do that."
        calls = [{"name": c.name, "args": c.arguments, "id": c.id} for c in message.tool_calls]
        return AIMessage(message.content, tool_calls=calls)

    return ScriptedChatModel(respond=respond, **options)


@pytest.fixture(scope="module")
def profile(bookstore, records):
    """Of a student that cannot reserve a book, and anything else."""
    student = make_student(records, never="reserve_book")
    return probe_student(bookstore, model=student, tasks=records, k=3)


def unhinted(messages, tools):
    """The offline model as a student."""
    return answer_messages(
        [SystemMessage(render_prompt("reasoning", notes=NO_HINT)), *messages], tools
    )


def test_estimate_of_pass_at_k_is_the_mean_over_all_choices_of_k_attempts():
    for n in range(1, 9):
        for passed, k in itertools.product(range(n + 1), range(1, n + 1)):
            attempts = [True] * passed + [False] * (n - passed)
            chosen = [any(each) for each in itertools.combinations(attempts, k)]
            exact = sum(chosen) / len(chosen)
            assert estimate_pass_at(n, passed, k) == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("wrong", [(4, 5, 1), (4, -1, 1), (4, 2, 0), (4, 2, 5)])
def test_pass_at_k_of_what_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigurationError, match="cannot be estimated"):
        estimate_pass_at(*wrong)


def test_answers_of_the_records_pass_at_every_kind_of_turn(bookstore, records):
    found = probe_student(bookstore, model=make_student(records), tasks=records, k=1)
    turns = [turn for record in records for turn in record.certificate.turns]
    assert (found.overall.tasks, found.overall.passed) == (len(turns), len(turns))
    assert found.overall.failures == {}
    kinds = Counter(turn.hard.kind if turn.hard else "plain" for turn in turns)
    assert {kind: score.tasks for kind, score in found.kinds.items()} == dict(kinds)
    targets = Counter(turn.target for turn in turns if turn.target)
    assert {name: s.tasks for name, s in found.targets.items() if s.tasks} == dict(targets)
    gold = Counter(name for turn in turns for name in {call.name for call in turn.gold})
    assert {name: s.tasks for name, s in found.tools.items() if s.tasks} == dict(gold)


def test_tool_that_the_student_fails_at_has_the_highest_weight(profile):
    weights = profile.weights()["tools"]
    assert max(weights, key=weights.get) == "reserve_book"
    failed = profile.tools["reserve_book"]
    assert (failed.passed, failed.pass_at) == (0, (0.0, 0.0, 0.0))
    assert failed.failures == {"calls_match": failed.attempts}
    assert weights["reserve_book"] == 1 - 1 / (failed.attempts + 2)
    assert profile.overall.failures == failed.failures  # it fails at nothing else
    assert 0 < weights["convert_price"] < 0.2


def test_planned_targets_follow_the_weights(profile, bookstore):
    weights = profile.weights()["tools"]
    tools = [tool.name for tool in bookstore.tools]
    planned = Counter(
        plan_target(tools, seed=1, index=i, turn=t, turns=3, attempt=1, weights=weights)
        for i in range(100)
        for t in range(3)
    )
    assert planned.total() == 300
    assert set(planned) == set(tools)
    for name, weight in weights.items():
        assert abs(planned[name] - 300 * weight / sum(weights.values())) <= 2
    assert planned["reserve_book"] >= max(planned.values()) - 1


def test_run_heads_for_what_the_weights_say(bookstore, tmp_path):
    weights = {tool.name: 0.0 for tool in bookstore.tools} | {"find_branch": 1.0}
    options = {"environment": bookstore, "num_trajectories": 3, "seed": 2}
    context = SynthesisContext(target_weights=weights, turns=2)
    run = synthesize(out=tmp_path / "a", context=context, **options)
    targets = {name for record in run.records() for name in record.provenance.targets}
    assert targets == {"find_branch"}
    again = synthesize(out=tmp_path / "b", context=context, max_concurrency=1, **options)
    assert again.directory.records.read_bytes() == run.directory.records.read_bytes()
    with pytest.raises(ConfigurationError, match=r"another run .*target_weights"):
        synthesize(out=tmp_path / "a", context=SynthesisContext(turns=2), **options)


def test_run_without_weights_is_identified_as_before(bookstore, tmp_path):
    options = {"environment": bookstore, "num_trajectories": 1, "context": SynthesisContext()}
    run = synthesize(out=tmp_path, **options)
    assert "target_weights" not in run.directory.read_manifest()["run"]["context"]


@pytest.mark.parametrize(
    ("weights", "message"),
    [({"reserve": 1.0}, "names .'reserve'."), ({"sign_in": 0.0, "rest": 1.0}, "names .'rest'.")],
)
def test_weight_of_an_unknown_tool_is_refused(bookstore, tmp_path, weights, message):
    context = SynthesisContext(target_weights=weights)
    with pytest.raises(ConfigurationError, match=message):
        synthesize(environment=bookstore, num_trajectories=1, out=tmp_path, context=context)


def test_weights_that_leave_no_target_are_refused(bookstore, tmp_path):
    weights = {tool.name: float(tool.name == "reserve_book") for tool in bookstore.tools}
    context = SynthesisContext(target_weights=weights, read_only=True)
    with pytest.raises(ConfigurationError, match=r"give one of .* a weight above 0"):
        synthesize(environment=bookstore, num_trajectories=1, out=tmp_path, context=context)


def outcome(number, kind="plain", tools=("sign_in",), failures=(None,)):
    target = tools[-1] if tools else ""
    return Outcome(task=str(number), target=target, tools=tools, kind=kind, failures=failures)


def test_weights_are_smoothed_floored_and_the_mean_for_what_was_never_seen(bookstore):
    outcomes = [outcome(i, failures=(None,) * 4) for i in range(25)]
    outcomes += [outcome(25, tools=("find_book",), failures=("calls_match",) * 4)]
    outcomes += [outcome(26, kind="irrelevance", tools=(), failures=(None, "turn_kind") * 2)]
    found = make_profile(bookstore, outcomes, model="m", k=4, seed=0)
    weights = found.weights()
    assert weights["tools"]["sign_in"] == FLOOR > 1 - 101 / 102
    assert weights["tools"]["find_book"] == pytest.approx(5 / 6)
    assert weights["tools"]["ship_order"] == pytest.approx((FLOOR + 5 / 6) / 2)
    plain = 1 - 101 / 106
    assert weights["kinds"] == pytest.approx(
        {"plain": FLOOR / (FLOOR + 0.5), "irrelevance": 0.5 / (FLOOR + 0.5)}
    )
    assert plain < FLOOR
    assert found.kinds["irrelevance"].pass_at == pytest.approx((0.5, 5 / 6, 1.0, 1.0))


def test_knobs_take_the_shares_of_the_profile_unless_the_user_gives_some(bookstore, profile):
    knobs = profile.to_knobs(bookstore)
    shares = profile.weights()["kinds"]
    assert knobs["hard_turns"] == {kind: shares[kind] for kind in KINDS}
    assert sum(knobs["hard_turns"].values()) == pytest.approx(1 - shares["plain"])
    assert SynthesisContext(**knobs).target_weights == profile.weights()["tools"]
    given = profile.to_knobs(bookstore, {"irrelevance": 0.2})
    assert given["hard_turns"] == {"irrelevance": 0.2}


def test_profile_of_another_environment_is_refused(bookstore, profile):
    other = load_environment(str(ROOT / "tools" / "workshop.py:open_workshop"), isolated=False)
    with pytest.raises(ConfigurationError, match=r"is of '.*Bookstore', not of '.*workshop"):
        profile.to_knobs(other)
    changed = profile.model_copy(update={"tools_hash": "0" * 16})
    with pytest.raises(ConfigurationError, match="have changed since the profile was made"):
        changed.to_knobs(bookstore)


def test_profile_is_read_as_it_was_written(profile, tmp_path):
    write_profile(profile, tmp_path / "profile.json")
    assert read_profile(tmp_path / "profile.json") == profile
    (tmp_path / "rows.jsonl").write_text('{"messages": []}\n')
    with pytest.raises(ConfigurationError, match="is no profile that `funreason probe` wrote"):
        read_profile(tmp_path / "rows.jsonl")
    with pytest.raises(ConfigurationError, match="cannot read the profile"):
        read_profile(tmp_path / "none.json")


def test_student_is_shown_the_conversation_and_the_tools_and_nothing_else(bookstore):
    student = ScriptedChatModel(respond=unhinted)
    context = SynthesisContext(hard_turns={"parallel_calls": 0.5})
    found = probe_student(bookstore, model=student, num_tasks=12, k=2, context=context)
    assert (found.overall.tasks, found.overall.attempts) == (12, 24)
    assert all(message.type != "system" for call in student.calls for message in call.messages)
    assert all(call.role is None for call in student.calls)
    told = ScriptedChatModel(respond=lambda messages, tools: unhinted(messages[1:], tools))
    again = probe_student(
        bookstore, model=told, num_tasks=12, k=2, context=context, instructions="Be brief."
    )
    assert again == found
    assert {call.messages[0].text for call in told.calls} == {"Be brief."}


def test_offline_model_is_a_student_too(bookstore):
    found = probe_student(bookstore, model="offline", num_tasks=20, k=1)
    same = probe_student(bookstore, model=ScriptedChatModel(respond=unhinted), num_tasks=20, k=1)
    assert found.model == "offline"
    assert 0 < found.overall.passed < 20
    assert found.model_copy(update={"model": "scripted"}) == same


def test_fresh_tasks_head_for_every_tool_that_a_first_turn_can_be_about(bookstore):
    found = probe_student(bookstore, model="offline", num_tasks=3 * len(bookstore.tools), k=1)
    # Nobody is signed in yet, so to sign out is to undo what was done for it.
    assert {name for name, score in found.targets.items() if not score.tasks} == {"sign_out"}


def test_profile_does_not_depend_on_how_many_tasks_are_solved_at_once(bookstore, records, profile):
    student = make_student(records, never="reserve_book")
    options = {"tasks": records, "k": 3}
    for max_concurrency in (1, 16):
        found = probe_student(bookstore, model=student, max_concurrency=max_concurrency, **options)
        assert found == profile


def test_number_of_tasks_draws_among_the_turns(bookstore, records):
    options = {"model": make_student(records), "tasks": records, "k": 1, "num_tasks": 9}
    found = probe_student(bookstore, seed=1, **options)
    assert found.overall.tasks == 9
    assert found == probe_student(bookstore, seed=1, **options)
    assert found.targets != probe_student(bookstore, seed=2, **options).targets


def breaking(student, number, error):
    """The student, except that the provider fails from call number `number` on."""
    lock, seen = threading.Lock(), []

    def respond(messages, tools):
        with lock:
            seen.append(None)
        if len(seen) > number:
            raise error
        return student.respond(messages, tools)

    return ScriptedChatModel(respond=respond)


def test_probe_goes_on_where_it_was_stopped(bookstore, records, profile, tmp_path):
    student = make_student(records, never="reserve_book")
    journal = tmp_path / "profile.json.partial"
    options = {"tasks": records, "k": 3, "journal": journal, "retries": ONCE}
    broken = breaking(student, 60, PermanentModelError("the key was revoked", 401))
    with pytest.raises(PermanentModelError, match="revoked"):
        probe_student(bookstore, model=broken, **options)
    done = len(journal.read_text().splitlines()) - 1
    assert 0 < done < profile.overall.tasks
    with journal.open("a") as file:
        file.write('{"task": "tor')  # as a kill in the middle of a line leaves it
    seen = []
    found = probe_student(
        bookstore, model=student, progress=lambda *counts: seen.append(counts), **options
    )
    assert found == profile
    assert (seen[0], seen[-1]) == ((done, profile.overall.tasks), (profile.overall.tasks,) * 2)
    solved = len(student.calls)
    assert probe_student(bookstore, model=student, **options) == profile
    assert len(student.calls) == solved


def test_journal_of_another_probe_is_refused(bookstore, records, tmp_path):
    options = {"model": make_student(records), "tasks": records[:2], "journal": tmp_path / "j"}
    probe_student(bookstore, k=1, **options)
    with pytest.raises(ConfigurationError, match="another probe: it differs in attempts_per_task"):
        probe_student(bookstore, k=2, **options)
    (tmp_path / "j").write_text("[1, 2]\n")
    with pytest.raises(ConfigurationError, match="no journal of a probe"):
        probe_student(bookstore, k=1, **options)


def test_trouble_that_passes_is_waited_out(bookstore, records):
    student = make_student(records)
    lock, failed = threading.Lock(), []

    def respond(messages, tools):
        with lock:
            if len(failed) < 3:
                failed.append(None)
                raise ConnectionError("reset by peer")
        return student.respond(messages, tools)

    found = probe_student(
        bookstore,
        model=ScriptedChatModel(respond=respond),
        tasks=records[:3],
        k=2,
        retries=Retries(attempts=8, first=0.01, longest=0.01),
    )
    assert (len(failed), found.overall.pass_rate) == (3, 1.0)


def test_provider_that_stays_broken_raises(bookstore, records):
    broken = breaking(make_student(records), 0, ConnectionError("reset by peer"))
    with pytest.raises(TransientModelError):
        probe_student(bookstore, model=broken, tasks=records[:3], retries=ONCE)


def test_answers_that_cannot_be_used_are_counted_by_what_is_wrong(bookstore, records):
    mute = ScriptedChatModel(respond=lambda messages, tools: "")
    found = probe_student(bookstore, model=mute, tasks=records[:2], k=2)
    assert found.overall.failures == {"unusable_answer: empty": found.overall.attempts}
    assert found.weights()["kinds"].keys() == found.kinds.keys()


def test_records_of_another_environment_or_that_do_not_replay_are_refused(bookstore, records):
    other = load_environment(str(ROOT / "tools" / "workshop.py:open_workshop"), isolated=False)
    with pytest.raises(ConfigurationError, match="probe with records of this environment"):
        probe_student(other, model="offline", tasks=records)
    certificate = records[0].certificate
    moved = certificate.model_copy(update={"environment_seed": certificate.environment_seed + 1})
    with pytest.raises(ConfigurationError, match="does not replay"):
        probe_student(
            bookstore,
            model="offline",
            tasks=[records[0].model_copy(update={"certificate": moved})],
        )


def test_tasks_can_be_a_file_and_an_empty_one_is_refused(bookstore, records, tmp_path):
    paths = write_records(records[:2], tmp_path / "rows", format="records")
    found = probe_student(bookstore, model=make_student(records), tasks=paths["train"], k=1)
    assert found.overall.pass_rate == 1
    (tmp_path / "none.jsonl").write_text("")
    with pytest.raises(ConfigurationError, match="no records to take tasks from"):
        probe_student(bookstore, model="offline", tasks=tmp_path / "none.jsonl")


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": 33}, {"num_tasks": 0}, {"max_concurrency": 0}])
def test_numbers_out_of_bounds_are_refused(bookstore, wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        probe_student(bookstore, model="offline", **wrong)


class Stuck:
    """A world in which nothing ever works."""

    def reset(self, seed: int) -> None: ...

    def dump_state(self) -> dict[str, int]:
        return {}

    def load_state(self, state: dict[str, int]) -> None: ...

    def pull(self, lever: str) -> None:
        """Pull a lever.

        Args:
            lever: Name of the lever.
        """
        raise LookupError("It is stuck.")


def test_environment_without_a_task_is_refused():
    with pytest.raises(FunReasonError, match="no task could be made"):
        probe_student(Environment.from_class(Stuck), model="offline", num_tasks=2)
