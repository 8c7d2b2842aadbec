# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Quickstart
#
# From executable tools to verified training data: run, look at the tool graph, at one trajectory,
# and at the records. Everything here runs offline, without a key.

# %%
import os
import tempfile
from pathlib import Path

if Path.cwd().name == "notebooks":
    os.chdir("..")

from funreason_agents import load_environment, synthesize

environment = load_environment("tools/bookstore.py:Bookstore")
[tool.name for tool in environment.tools]

# %% [markdown]
# ## The tool graph
#
# The tools declare nothing. Probes found out by execution what each of them needs first: solid
# arrows must be met, dotted ones only spare the user a value.

# %%
from IPython.display import Markdown

from funreason_agents.tool_graph.build import tool_graph_of
from funreason_agents.tool_graph.draw import describe_edge, to_mermaid

graph = tool_graph_of(environment)
Markdown(f"```mermaid\n{to_mermaid(graph)}```")

# %%
for edge in graph.edges:
    if edge.target == "pay_reservation":
        print(edge.target, describe_edge(edge))

# %% [markdown]
# ## A run
#
# Six trajectories of three turns. The same seed gives the same records, to the byte.

# %%
out = tempfile.mkdtemp()
run = synthesize(environment=environment, num_trajectories=6, out=out, seed=7)
print(f"{run.accepted} accepted, {run.rejected} rejected, {run.failed} failed")
print("rejected turns:", dict(run.statistics.rejections))

# %% [markdown]
# ## One trajectory

# %%
record = run.records()[0]
for message in record.messages:
    if message.role == "user":
        print(f"\nUSER  {message.content}")
    elif message.role == "tool":
        print(f"        -> {message.content[:100]}")
    else:
        for call in message.tool_calls:
            print(f"      {call.name}({call.arguments})")
        if message.content:
            print(f"REPLY {message.content}")

# %% [markdown]
# ## The records
#
# Each turn passed eight named checks. The certificate lets anybody replay the record in a fresh
# session, without the checkpoints.

# %%
print({check.name: check.passed for check in record.checks[0]})

from funreason_agents.verification.replay import verify_record

print("reproduced:", all(verify_record(each, environment).reproduced for each in run.records()))

# %% [markdown]
# Rows for TRL, with a part held out by environment seed:

# %%
from funreason_agents import write_records

paths = write_records(
    run.records(), Path(out) / "rows", format="trl", split={"train": 0.8, "heldout": 0.2}
)
row = paths["train"].read_text(encoding="utf-8").splitlines()[0]
print(row[:300], "...")
