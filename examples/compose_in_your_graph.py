"""Use the supervisor and the query writer as nodes of a graph of your own.

The graph has state keys and a context type that this package knows nothing about. It makes one
verified dialogue per topic, has the first query of each written anew in another voice, and ends
with a node of its own. Run it from the root of the repository, with no key:

    python examples/compose_in_your_graph.py
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from funreason_agents import (
    Environment,
    SynthesisContext,
    as_node,
    create_query_writer,
    create_supervisor,
    load_environment,
)

BOOKSTORE = f"{Path(__file__).parents[1] / 'tools' / 'bookstore.py'}:Bookstore"


class ReviewState(TypedDict, total=False):
    """State of the graph below. No key of it is a key of ours."""

    ticket: int
    dialogue: dict[str, Any]
    wordings: Annotated[list[str], operator.add]
    summary: str


@dataclass(frozen=True)
class ReviewContext:
    """Context of the graph below. Our graphs find their knobs in its `synthesis`."""

    reviewer: str = "nobody"
    synthesis: SynthesisContext = field(default_factory=lambda: SynthesisContext(turns=2))


def create_review(
    environment: Environment, checkpointer: InMemorySaver | None = None
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the graph: make a dialogue, word its first query anew, summarise."""
    make_dialogue = as_node(
        create_supervisor(environment=environment, model="offline"),
        read=lambda state: {"seed": 7, "index": state["ticket"]},
        write=lambda output: {
            "dialogue": output["trajectory"],
            "wordings": [turn["query"] for turn in output["trajectory"]["turns"][:1]],
        },
    )
    word_anew = as_node(
        create_query_writer(environment=environment, model="offline"),
        # Another `index` draws another persona and tone.
        read=lambda state: {"index": 1000, "call_trace": state["dialogue"]["turns"][0]["trace"]},
        write=lambda output: {
            "wordings": [output["turn_task"]["query"]] if output["turn_task"] else []
        },
    )
    builder = StateGraph(ReviewState, context_schema=ReviewContext)
    builder.add_node("make_dialogue", make_dialogue)
    builder.add_node("word_anew", word_anew)
    builder.add_node("summarise", summarise)
    builder.add_edge(START, "make_dialogue")
    builder.add_conditional_edges("make_dialogue", after_dialogue, ["word_anew", "summarise"])
    builder.add_edge("word_anew", "summarise")
    builder.add_edge("summarise", END)
    return builder.compile(checkpointer=checkpointer, name="review")


def after_dialogue(state: ReviewState) -> str:
    """A rejected dialogue may have no turn to word anew."""
    return "word_anew" if state["dialogue"]["turns"] else "summarise"


def summarise(state: ReviewState, runtime: Runtime[ReviewContext]) -> dict[str, str]:
    """Say what was made, and for whom."""
    reviewer = runtime.context.reviewer if runtime.context else "nobody"
    turns, status = len(state["dialogue"]["turns"]), state["dialogue"]["status"]
    return {"summary": f"Ticket {state['ticket']} for {reviewer}: {status}, {turns} turns."}


def main() -> None:
    """Draw the graph, run it once, and look into its checkpoints."""
    review = create_review(load_environment(BOOKSTORE), InMemorySaver())
    print(review.get_graph(xray=True).draw_mermaid())
    thread: Any = {"configurable": {"thread_id": "ticket-3"}}
    out = review.invoke({"ticket": 3}, thread, context=ReviewContext(reviewer="Ada"))
    print(out["summary"])
    for wording in out["wordings"]:
        print("-", wording)
    for state in review.get_state_history(thread):
        for task in state.tasks:
            child: Any = task.state
            if child:
                print(f"{task.name}: own checkpoints in {child['configurable']['checkpoint_ns']}")


if __name__ == "__main__":
    main()
