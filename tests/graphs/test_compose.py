import asyncio
import importlib.util
import runpy
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from funreason_agents import SynthesisContext, as_node, create_environment_explorer

EXAMPLE = Path(__file__).parents[2] / "examples" / "compose_in_your_graph.py"
THREAD = {"configurable": {"thread_id": "a"}}


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("compose_example", EXAMPLE)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(params=["invoke", "ainvoke"])
def run(request):
    def call(graph, *args, **kwargs):
        if request.param == "invoke":
            return graph.invoke(*args, **kwargs)
        return asyncio.run(graph.ainvoke(*args, **kwargs))

    return call


def test_foreign_context_gives_its_knobs(example, environment, run):
    context = example.ReviewContext("Ada", SynthesisContext(turns=1))
    out = run(example.create_review(environment), {"ticket": 0}, context=context)
    assert out["summary"] == "Ticket 0 for Ada: accepted, 1 turns."
    assert len(set(out["wordings"])) == 2


def test_without_a_context_the_defaults_are_used(example, environment, run):
    out = run(example.create_review(environment), {"ticket": 0})
    assert out["dialogue"]["planned_turns"] == SynthesisContext().turns
    assert out["summary"].startswith("Ticket 0 for nobody")


@pytest.mark.parametrize("durability", ["async", "sync"])
def test_parents_checkpointer_keeps_the_inner_states(example, environment, run, durability):
    saver = InMemorySaver()
    review = example.create_review(environment, saver)
    run(review, {"ticket": 0}, THREAD, durability=durability)
    spaces = {each.config["configurable"]["checkpoint_ns"] for each in saver.list(THREAD)}
    stages = {tuple(part.split(":")[0] for part in space.split("|")) for space in spaces}
    assert {("make_dialogue",), ("make_dialogue", "reasoner_critic"), ("word_anew",)} <= stages
    assert (("make_dialogue", "query_writer") in stages) == (durability == "sync")


def test_drawing_and_subgraphs_show_the_inner_graphs(example, environment):
    review = example.create_review(environment)
    drawing = review.get_graph(xray=True).draw_mermaid()
    for node in ("settle_turn", "explore", "criticise", "write_query", "summarise"):
        assert node in drawing
    names = {name for name, _ in review.get_subgraphs(recurse=True)}
    assert {"make_dialogue", "word_anew", "make_dialogue|reasoner_critic"} <= names


def test_state_of_a_running_parent_shows_the_inner_one(example, environment):
    review = example.create_review(environment, InMemorySaver())
    review.invoke({"ticket": 0}, THREAD, interrupt_before=["word_anew"])
    assert review.get_state(THREAD).next == ("word_anew",)
    assert len(review.invoke(None, THREAD)["wordings"]) == 2


@dataclass(frozen=True)
class Foreign:
    synthesis: dict = field(default_factory=lambda: {"max_calls": 1, "lookup_rate": 1.0})


class Traces(TypedDict, total=False):
    wanted: str
    traces: list


def create_parent(environment):
    node = as_node(
        create_environment_explorer(environment=environment),
        read=lambda state: {"wanted_target": state["wanted"]},
        write=lambda output: {"traces": [output["call_trace"], output["rejection"]]},
    )
    builder = StateGraph(Traces).add_node("explore", node)
    return builder.add_edge(START, "explore").add_edge("explore", END).compile()


@pytest.mark.parametrize("context", [Foreign(), {"synthesis": Foreign().synthesis}])
def test_knobs_are_read_from_any_object_with_synthesis(environment, run, context):
    parent = create_parent(environment)
    trace, rejection = run(parent, {"wanted": "open_locker"}, context=context)["traces"]
    assert trace is None
    assert rejection


@pytest.mark.parametrize("context", [object(), {"tenant": 3}, None])
def test_context_of_no_use_means_defaults(environment, run, context):
    parent = create_parent(environment)
    trace, _ = run(parent, {"wanted": "open_locker"}, context=context)["traces"]
    assert trace["target"] == "open_locker"


def test_example_runs_as_a_script(capsys):
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    printed = capsys.readouterr().out
    assert "graph TD;" in printed
    assert "Ticket 3 for Ada: accepted, 2 turns." in printed
    assert "word_anew: own checkpoints in word_anew:" in printed
