# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Compose the pieces in a graph of your own
#
# Each of our four graphs is a node of anybody's graph. Here: a graph that makes one hard turn out
# of a trace, stops for a person, and goes on. Everything runs offline, without a key.

# %%
import os
from pathlib import Path

if Path.cwd().name == "notebooks":
    os.chdir("..")

from funreason_agents import (
    SynthesisContext,
    as_node,
    create_environment_explorer,
    create_query_writer,
    create_reasoner_critic,
    create_supervisor,
    load_environment,
)

environment = load_environment("tools/bookstore.py:Bookstore")

# %% [markdown]
# ## One piece alone
#
# The explorer walks the tool graph to a tool of your choice and returns a minimised call trace.

# %%
explorer = create_environment_explorer(environment=environment)
found = explorer.invoke({"run_seed": 7, "wanted_target": "request_refund"})
for step in found["call_trace"]["calls"]:
    print(step["call"]["name"], step["call"]["arguments"], "->", step["result"]["content"])

# %% [markdown]
# ## Two pieces in your graph
#
# Your state has your keys. `as_node` maps them, and the inner graphs still show when drawn. The
# query writer is asked for a hard turn here: the user leaves out a value, so the right answer is
# to ask for it.

# %%
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict


class MyState(TypedDict, total=False):
    trace: dict
    task: dict
    answer: dict


write = as_node(
    create_query_writer(environment=environment),
    read=lambda state: {"call_trace": state["trace"], "turn_kind": "missing_parameter"},
    write=lambda output: {"task": output["turn_task"]},
)
solve = as_node(
    create_reasoner_critic(environment=environment),
    read=lambda state: {"turn_task": state["task"]},
    write=lambda output: {"answer": output},
)
builder = StateGraph(MyState)
builder.add_node("write", write)
builder.add_node("solve", solve)
builder.add_edge(START, "write")
builder.add_edge("write", "solve")
builder.add_edge("solve", END)
mine = builder.compile(name="mine")

state = mine.invoke({"trace": found["call_trace"]})
print("user:     ", state["task"]["query"])
print("assistant:", state["answer"]["attempt"]["messages"][-1]["content"])
print("then user:", state["task"]["then"]["query"])
print("checks:   ", {check["name"]: check["passed"] for check in state["answer"]["verdict"]["checks"]})

# %%
from IPython.display import Markdown

Markdown(f"```mermaid\n{mine.get_graph(xray=True).draw_mermaid()}```")

# %% [markdown]
# ## A person in the loop
#
# With `review`, the supervisor stops by `interrupt()` at each written query or verified turn. The
# thread waits, in whatever checkpointer you use, until it is resumed with a decision.

# %%
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

supervisor = create_supervisor(environment=environment, checkpointer=InMemorySaver())
thread = {"configurable": {"thread_id": "review-me"}}
context = SynthesisContext(turns=1, review=("turn",))
state = supervisor.invoke({"seed": 7, "index": 3}, thread, context=context)
request = state["__interrupt__"][0].value
print("query:", request["query"])
for call in request["calls"]:
    print("call: ", call["name"], call["arguments"])
print("reply:", request["reply"])

# %% [markdown]
# An edit is executed and verified again. This one changes an argument of a call: the check that it
# fails is named, and the person is asked again.

# %%
wrong = dict.fromkeys(request["calls"][-1]["arguments"], "something else")
decision = {"action": "edit_call", "call": len(request["calls"]) - 1, "arguments": wrong}
state = supervisor.invoke(Command(resume=decision), thread, context=context)
print([line.split(":")[0] for line in state["__interrupt__"][0].value["refused"]])

# %%
state = supervisor.invoke(Command(resume={"action": "accept"}), thread, context=context)
print(state["status"], "-", len(state["trajectory"]["turns"]), "turn")
