# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Fine-tune
#
# From records to weights: look at the rows, see which tokens carry loss, tune, and read the curves.
# The model here is tiny, random and made on the spot, so that everything runs on a CPU in seconds:
# it shows the machinery. With a real one, only the `model` setting changes.
#
# Needs `pip install "funreason-agents[train]"`.

# %%
import os
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
    os.environ[name] = "1"
if Path.cwd().name == "notebooks":
    os.chdir("..")
sys.path.insert(0, "examples")

import logging
import warnings

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)

# %% [markdown]
# ## Rows
#
# A run makes records; each accepted message of the assistant becomes one row, and the loss falls on
# that message alone.

# %%
from funreason_agents import load_environment, synthesize
from funreason_agents.training import FineTuneConfig, fine_tune, load_rows, show_loss_mask

environment = load_environment("tools/bookstore.py:Bookstore")
out = Path(tempfile.mkdtemp())
synthesize(environment=environment, num_trajectories=5, out=out / "train", seed=1)
synthesize(environment=environment, num_trajectories=2, out=out / "heldout", seed=2)
rows = load_rows(out / "train")
print(f"{len(rows)} rows")
rows[0]["completion"][0]

# %% [markdown]
# ## A model, and what it is trained on
#
# The tiny model has a ChatML tokenizer but no template for tools, like many small models, so the
# compact one of this package is used: the same text at training, at serving and at evaluation.
# Grey tokens carry no loss; reasoning and result (the call or the answer) are told apart by position.

# %%
from tiny_model import make_tiny_model

model = make_tiny_model(out / "tiny", (str(row) for row in rows))
shown = show_loss_mask(rows, str(model), row=0)
print(shown[-1200:])

# %% [markdown]
# ## The losses
#
# `standard` counts all tokens alike, so that reasoning, which is longer, drowns the call. `srml`
# takes the mean of each segment and mixes them by a fixed `alpha`; `ssb` learns `alpha`.
# All means are over the whole optimizer step, however it is split.

# %%
results = {}
for loss in ("standard", "srml", "ssb"):
    config = FineTuneConfig(
        model=str(model),
        output_dir=out / loss,
        loss=loss,
        max_steps=6,
        learning_rate=5e-3,
        batch_size=4,
        gradient_accumulation=2,
        max_length=4096,
    )
    results[loss] = fine_tune(out / "train", config, heldout=out / "heldout")

for loss, result in results.items():
    before, after = (result.metrics["heldout"][when] for when in ("before", "after"))
    fell = {name: after[name] < before[name] for name in ("reasoning", "result")}
    print(f"{loss:9} held-out loss fell: {fell}")

# %% [markdown]
# ## What a run leaves
#
# Weights that load like any others, checkpoints, and a record: settings, versions, data hash, numbers
# and curves. Calling `fine_tune` again with the same settings goes on where a run stopped; this one is
# done, so that its result is read back.

# %%
again = fine_tune(out / "train", config, heldout=out / "heldout")
print("read back:", again.metrics == results["ssb"].metrics)
print(sorted(path.name for path in (out / "ssb").iterdir() if not path.name.startswith(".")))

# %% [markdown]
# The same from the command line:
#
# ```bash
# funreason train sft data/bookstore --model MODEL --out runs/bookstore --loss ssb --heldout data/heldout
# funreason serve runs/bookstore
# ```
