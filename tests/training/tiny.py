"""A tiny model that is sometimes right: from one that never is, nothing can be learnt."""

import torch
from transformers import AutoModelForCausalLM

from funreason_agents.training.template import render


def teach(model_dir, tokenizer, rows, folder, *, steps=60, seed=0):
    """Fit a copy of a model to rows, but not for so long that it never errs."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(model_dir)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    batches = []
    for row in rows:
        whole = render(tokenizer, [*row["prompt"], *row["completion"]], row["tools"])
        start = len(render(tokenizer, row["prompt"], row["tools"], add_generation_prompt=True))
        labels = [-100] * start + whole[start:]
        batches.append((torch.tensor([whole]), torch.tensor([labels])))
    for step in range(steps):
        ids, labels = batches[step % len(batches)]
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
