"""Seeing a loss mask: the rendered row, coloured by what is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from funreason_agents.errors import TrainingError
from funreason_agents.training.rows import read_rows
from funreason_agents.training.segments import (
    REASONING,
    RESULT,
    UNTRAINED,
    ThinkMarks,
    find_segments,
    find_think_marks,
    tokenize_row,
)
from funreason_agents.training.template import prepare_tokenizer

_COLOURS = {UNTRAINED: "\x1b[90m", REASONING: "\x1b[36m", RESULT: "\x1b[32m"}
_OFF = "\x1b[0m"
_LEGEND = {UNTRAINED: "not trained", REASONING: "reasoning", RESULT: "result"}


def show_loss_mask(
    rows: str | Path | Sequence[Mapping[str, Any]],
    model: str | Path,
    row: int = 0,
    *,
    template: str = "auto",
) -> str:
    """Return a row as it is trained on, with ANSI colours: grey not trained, cyan reasoning,
    green result.

    Args:
        rows: Rows or their path, as `load_rows` reads them.
        model: Whose tokenizer renders them.
        row: Number of the row, from 0.
        template: As `FineTuneConfig.template`.

    Raises:
        TrainingError: there is no such row, or it cannot be rendered.
    """  # noqa: D205
    steps = read_rows(rows)
    if not 0 <= row < len(steps):
        msg = f"there is no row {row}: the data have {len(steps)}, numbered from 0"
        raise TrainingError(msg)
    tokenizer = prepare_tokenizer(model, template=template)
    tokens = tokenize_row(tokenizer, steps[row])
    ids, labels = torch.tensor([tokens.input_ids]), torch.tensor([tokens.labels])
    reasoned = steps[row]["completion"][0].get("reasoning_content")
    marks = find_think_marks(tokenizer) if reasoned else ThinkMarks()
    segments = find_segments(ids, labels, marks)[0].tolist()
    legend = ", ".join(
        f"{_COLOURS[kind]}{name}{_OFF} {segments.count(kind)}" for kind, name in _LEGEND.items()
    )
    text = ""
    # Runs, not single tokens: a character may be spread over several tokens.
    for kind, run in groupby(
        zip(tokens.input_ids, segments, strict=True), key=lambda pair: pair[1]
    ):
        text += f"{_COLOURS[kind]}{tokenizer.decode([token for token, _ in run])}{_OFF}"
    return f"{legend} (tokens)\n{text}\n"
