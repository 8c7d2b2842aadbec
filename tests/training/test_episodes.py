import copy
import inspect
import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, get_type_hints

import pytest
import trl
from book_rows import make_row
from transformers.utils import get_json_schema

from funreason_agents import SynthesisContext, load_environment, synthesize
from funreason_agents.environments.base import Environment, EnvSession
from funreason_agents.errors import EnvError, TrainingError
from funreason_agents.schemas.tools import ToolSpec
from funreason_agents.training.egpo import EGPOTrainer, Written
from funreason_agents.training.episodes import World, make_episodes, make_world, make_worlds
from funreason_agents.training.reinforce_config import ReinforceConfig
from funreason_agents.training.rl import reinforce
from funreason_agents.training.rollouts import assign_episodes, assign_messages
from funreason_agents.training.tool_methods import make_method, to_hint

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def shop():
    return load_environment(str(TOOLS / "bookstore.py:Bookstore"), isolated=False)


@pytest.fixture(scope="module")
def records(shop, tmp_path_factory):
    context = SynthesisContext(turns=2, hard_turns={"irrelevance": 0.2, "missing_function": 0.2})
    run = synthesize(
        environment=shop, num_trajectories=6, out=tmp_path_factory.mktemp("run"), model="offline",
        seed=3, context=context,
    )  # fmt: skip
    return list(run.records())


@pytest.fixture(scope="module")
def episodes(shop, records):
    return make_episodes(records, shop)


def write(calls=(), content=""):
    blocks = "\n".join(
        "<tool_call>\n" + json.dumps({"name": n, "arguments": a}) + "\n</tool_call>"
        for n, a in calls
    )
    return f"<think>\nLet me see.\n</think>\n\n{content}{blocks}"


def play(world, episode, steps, *, reply="It is done.", **options):
    """Act as TRL's loop would with a model that makes these calls, one message each."""
    world.reset(episode=episode.id, prompt=list(episode.prompt))
    methods = {
        method.__name__: getattr(world, name)
        for name, method in inspect.getmembers(type(world), inspect.isfunction)
        if name != "reset" and not name.startswith("_")
    }
    messages = []
    for name, arguments in steps:
        messages.append(write([(name, arguments)]))
        if name in methods:
            methods[name](**arguments)
    return world._score([*messages, write(content=reply)] if reply else messages, **options)


def gold_steps(episode):
    return [(step.call.name, step.call.arguments) for step in episode.trace.calls]


def new_world(shop, episodes, episode):
    return make_worlds(shop, episodes)[episode.world]()


def with_calls(episodes, least=1):
    return next(each for each in episodes if len(each.trace.calls) >= least)


def test_each_turn_of_each_record_is_an_episode(records, episodes):
    assert len(episodes) == sum(len(record.certificate.turns) for record in records) > 6
    assert all(episode.prompt[-1]["role"] == "user" for episode in episodes)
    assert {bool(episode.trace.calls) for episode in episodes} == {True, False}


def test_right_calls_are_rewarded_in_every_episode(shop, episodes):
    worlds = {name: world() for name, world in make_worlds(shop, episodes).items()}
    for episode in episodes:
        score = play(worlds[episode.world], episode, gold_steps(episode))
        assert (score.success, score.progress, score.failed) == (True, 1.0, ()), episode.id
        assert score.to_reward(0.2) == 1.0


def test_the_calls_of_the_record_itself_are_rewarded(shop, records, episodes):
    for episode in episodes:
        record = next(r for r in records if episode.id.startswith(r.id))
        turn = int(episode.id.rpartition("/")[2])
        queries = [n for n, m in enumerate(record.messages) if m.role == "user"]
        messages = record.messages[queries[turn] :][: [*queries, 10**6][turn + 1] - queries[turn]]
        steps = [(c.name, c.arguments) for m in messages for c in m.tool_calls]
        assert play(new_world(shop, episodes, episode), episode, steps).success


def test_wrong_calls_get_nothing(shop, episodes):
    episode = with_calls(episodes, 2)
    world = new_world(shop, episodes, episode)
    name = gold_steps(episode)[0][0]
    for steps in ([], [("find_branch", {"city": "Atlantis"})], [(name, {"none": 1})], [("x", {})]):
        score = play(world, episode, steps)
        assert not score.success
        assert score.to_reward(0.0) == 0.0


def test_progress_is_the_share_of_gold_calls_before_the_first_miss(shop, episodes):
    episode = with_calls(episodes, 2)
    steps = gold_steps(episode)
    score = play(new_world(shop, episodes, episode), episode, steps[:-1])
    assert not score.success
    assert score.progress == pytest.approx((len(steps) - 1) / len(steps))
    assert score.to_reward(0.2) == pytest.approx(0.2 * score.progress)


def test_calls_where_none_is_wanted_get_nothing(shop, episodes):
    episode = next(each for each in episodes if not each.trace.calls)
    world = new_world(shop, episodes, episode)
    assert play(world, episode, []).success
    score = play(world, episode, [("sign_out", {})])
    assert (score.success, score.progress) == (False, 0.0)


def test_a_broken_template_or_a_missing_reply_gets_nothing(shop, episodes):
    episode = with_calls(episodes)
    world = new_world(shop, episodes, episode)
    steps = gold_steps(episode)
    assert play(world, episode, steps, reply="</think>").failed == ("template",)
    assert play(world, episode, steps, reply="").failed == ("closed",)
    assert play(world, episode, steps, finished=False).failed == ("closed",)
    play(world, episode, steps)
    assert world._score(["I did it."]).failed == ("template",)


def test_a_call_of_an_unknown_tool_fails_though_the_rest_is_right(shop, episodes):
    episode = with_calls(episodes)
    steps = [*gold_steps(episode), ("teleport", {})]
    assert "calls_valid" in play(new_world(shop, episodes, episode), episode, steps).failed


def test_one_episode_leaves_no_trace_in_the_next(shop, episodes):
    episode = with_calls(episodes, 2)
    world = new_world(shop, episodes, episode)
    for _ in range(3):
        assert play(world, episode, gold_steps(episode)).success


def test_the_held_out_function_is_not_a_method(shop, episodes):
    held = next(e for e in episodes if e.certified.hard and e.certified.hard.function
                and e.certified.hard.part == 1)  # fmt: skip
    names = {m.__name__ for m in public_methods(make_worlds(shop, episodes)[held.world])}
    assert held.certified.hard.function not in names


def public_methods(world):
    return [
        method
        for name, method in inspect.getmembers(world, inspect.isfunction)
        if not name.startswith("_") and name not in ("reset", "get_reward")
    ]


def test_the_model_is_shown_the_tools_and_nothing_else(shop, episodes):
    world = make_world(shop, shop.tools, episodes)
    assert {method.__name__ for method in public_methods(world)} == {t.name for t in shop.tools}
    assert not hasattr(world, "get_reward")


def test_methods_are_typed_as_the_schemas_say(shop, episodes):
    world = make_world(shop, shop.tools, episodes)()
    for method in public_methods(type(world)):
        tool = shop.tool(method.__name__)
        made = get_json_schema(getattr(world, next(
            name for name, each in inspect.getmembers(type(world)) if each is method
        )))["function"]  # fmt: skip
        assert set(made["parameters"]["properties"]) == set(tool.properties)
        assert set(made["parameters"].get("required", [])) == set(tool.required)
        # What is returned is told too, but there it is taken apart.
        told = tool.description.partition("Returns:")[0]
        assert made["description"].split() == told.split()


def test_hints_follow_the_schema():
    assert to_hint({"type": "integer"}) is int
    assert to_hint({"enum": ["a", "b"]}) == Literal["a", "b"]
    assert to_hint({"type": "array", "items": {"type": "number"}}) == list[float]
    assert to_hint({"anyOf": [{"type": "string"}, {"type": "null"}]}) == str | None
    assert to_hint({}) is Any


def test_reserved_and_strange_names_are_handled():
    class Box:
        def look(self) -> dict[str, str]:
            """Look."""
            return {}

    environment = Environment.from_class(Box)
    schema = {"type": "object", "properties": {"from": {"type": "string"}}}
    tools = [ToolSpec(name=n, description="d", parameters=schema) for n in ("reset", "_x", "a.b")]
    world = make_world(environment, tools, [])
    assert [m.__name__ for m in public_methods(world)] == ["reset", "_x", "a.b"]
    assert world.reset is World.reset
    assert "from" not in get_type_hints(make_method(tools[0]))


def test_a_world_that_breaks_is_neither_right_nor_wrong(shop, episodes, monkeypatch):
    episode = with_calls(episodes)
    world = new_world(shop, episodes, episode)
    world.reset(episode=episode.id)

    def fail(call):
        raise EnvError("gone")

    monkeypatch.setattr(world._session, "call", fail)
    with pytest.raises(EnvError):
        world._call("sign_out", {})
    assert world._score([write(content="Done.")]) is None


def test_records_of_another_environment_are_refused(records, tmp_path):
    other = load_environment(str(TOOLS / "travel_tools.py:open_travel"), isolated=False)
    with pytest.raises(TrainingError, match="not of this"):
        make_episodes(records, other)


def test_a_record_whose_states_do_not_come_back_is_refused(shop, records):
    record = next(r for r in records if r.certificate.turns[0].calls)
    turn = record.certificate.turns[0]
    calls = (turn.calls[0].model_copy(update={"state_hash": "0" * 16}), *turn.calls[1:])
    turns = (turn.model_copy(update={"calls": calls}), *record.certificate.turns[1:])
    certificate = record.certificate.model_copy(update={"turns": turns})
    with pytest.raises(TrainingError, match="other states"):
        make_episodes([record.model_copy(update={"certificate": certificate})], shop)


def script(episodes, tokenizer):
    """Stand in for the model: right in every other rollout, words alone in the rest."""

    def generate(self, prompt_ids, *_, **__):
        answers = []
        for number, ids in enumerate(prompt_ids):
            text = tokenizer.decode(ids)
            episode = max(episodes, key=lambda each: text.rfind(each.prompt[-1]["content"]))
            asked = text.rfind(episode.prompt[-1]["content"])
            seen = text.count("<tool_response>", asked)
            steps = gold_steps(episode)
            right = seen > 0 or number % 2 == 0
            more = right and seen < len(steps)
            answers.append(write([steps[seen]]) if more else write(content="Here you are."))
        return [[*tokenizer.encode(a), tokenizer.eos_token_id] for a in answers], None

    return generate


def test_worlds_share_the_sessions_that_are_free(shop, episodes, opened):
    worlds = {name: world() for name, world in make_worlds(shop, episodes).items()}
    assert len(worlds) > 1
    for episode in episodes:
        assert play(worlds[episode.world], episode, gold_steps(episode)).success
    assert len(opened) == 1
    first, second = list(worlds.values())[:2]
    for world in (first, second):
        world.reset(episode=next(iter(world._episodes)))
    assert len(opened) == 2
    assert first._session is not second._session
    first._sessions.close()
    assert all(session._closed for session in opened)


@pytest.fixture
def opened(monkeypatch):
    """The sessions that are opened during the test."""
    sessions = []
    begin = EnvSession.__init__

    def note(self, *arguments):
        begin(self, *arguments)
        sessions.append(self)

    monkeypatch.setattr(EnvSession, "__init__", note)
    return sessions


def shown_by(tokenizer, family):
    """Return the tokenizer with TRL's chat template of a family of models."""
    path = Path(trl.__file__).parent / f"chat_templates/{family}_training.jinja"
    changed = copy.deepcopy(tokenizer)
    changed.chat_template = path.read_text(encoding="utf-8")
    return changed


def small(**options):
    return ReinforceConfig(
        model="none", output_dir="none", prompts_per_step=1, num_generations=2, batch_size=2,
        max_prompt_length=100_000, **options,
    )  # fmt: skip


@pytest.mark.parametrize("require_reasoning", [True, False])
@pytest.mark.parametrize(("family", "read"), [("qwen3", True), ("glm4moe", False)])
def test_a_template_whose_calls_cannot_be_read_is_refused(
    shop, episodes, tokenizer, family, read, require_reasoning
):
    config = small(require_reasoning=require_reasoning)
    told = nullcontext() if read else pytest.raises(TrainingError, match="does not read")
    with told:
        assign_episodes(episodes, shop, shown_by(tokenizer, family), config)


def test_episodes_without_calls_need_no_template_for_them(shop, episodes, tokenizer):
    silent = [each for each in episodes if not each.trace.calls]
    assert assign_episodes(silent, shop, shown_by(tokenizer, "glm4moe"), small()).given


@pytest.mark.parametrize("reasoned", [True, False])
def test_rows_without_reasoning_can_be_learnt_with_the_template_of_qwen3(tokenizer, reasoned):
    rows = [make_row(number, reasoning=reasoned) for number in range(4)]
    config = small(require_reasoning=False)
    assert assign_messages(rows, shown_by(tokenizer, "qwen3"), config).given == 4


def test_a_think_block_that_the_prompt_opens_belongs_to_the_answer(shop, episodes, tokenizer):
    opening = copy.deepcopy(tokenizer)
    end = '"<|im_start|>assistant\\n" if add_generation_prompt'
    assert end in opening.chat_template
    opening.chat_template = opening.chat_template.replace(
        end, '"<|im_start|>assistant\\n<think>\\n" if add_generation_prompt'
    )
    episode = next(each for each in episodes if not each.trace.calls)
    asked = [with_calls(episodes), episode]
    assignment = assign_episodes(asked, shop, opening, small())
    world = assignment.worlds[episode.world]()
    world.reset(episode=episode.id)
    written = [Written("Let me see.\n</think>\n\nNo tool does that.", finished=True)]
    told = {}
    reward = assignment.reward(environments=[world], written=[written], log_metric=told.__setitem__)
    assert reward == [1.0]
    assert told["episode/success"] == 1.0


@pytest.fixture
def roomy(tiny_model, tmp_path):
    """The tiny model with room for an episode."""
    roomy = shutil.copytree(tiny_model, tmp_path / "roomy")
    settings = json.loads((roomy / "config.json").read_text(encoding="utf-8"))
    settings["max_position_embeddings"] = 8192
    (roomy / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    return roomy


def test_live_episodes_end_to_end(shop, records, roomy, opened, tokenizer, tmp_path, monkeypatch):
    """TRL's own loop parses the calls, executes them in the shop, and shows their results."""
    chosen = [next(r for r in records if all(turn.gold for turn in r.certificate.turns))]
    episodes = make_episodes(chosen, shop)
    monkeypatch.setattr(EGPOTrainer, "_generate_single_turn", script(episodes, tokenizer))
    config = ReinforceConfig(
        model=str(roomy), output_dir=tmp_path / "out", steps=2, save_steps=1,
        prompts_per_step=1, num_generations=2, batch_size=2, max_completion_length=3000,
    )  # fmt: skip
    result = reinforce(chosen, config, environment=shop)
    assert result.metrics["kind"] == "episodes"
    assert [value for _, value in result.curves["episode/success"]] == [0.5, 0.5]
    assert [value for _, value in result.curves["groups_with_signal"]] == [1.0, 1.0]
    assert [value for _, value in result.curves["episode/broken"]] == [0.0, 0.0]
    assert all(value == 1.0 for _, value in result.curves["egpo/reasoned"])
    assert all(session._closed for session in opened)


def test_sessions_are_closed_when_a_run_ends_by_an_error(
    shop, records, roomy, opened, tmp_path, monkeypatch
):
    def fail(self, *_, **__):
        assert not all(session._closed for session in opened)
        raise TrainingError("out of it")

    monkeypatch.setattr(EGPOTrainer, "_generate_single_turn", fail)
    config = ReinforceConfig(
        model=str(roomy), output_dir=tmp_path / "out", steps=1, save_steps=1,
        prompts_per_step=1, num_generations=2, batch_size=2, max_completion_length=3000,
    )  # fmt: skip
    with pytest.raises(TrainingError, match="out of it"):
        reinforce(records[:1], config, environment=shop)
    assert opened
    assert all(session._closed for session in opened)
