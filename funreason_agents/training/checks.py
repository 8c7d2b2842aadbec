"""What is checked before training: template, rows, their lengths, leaks of held-out rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from funreason_agents.errors import TrainingError
from funreason_agents.schemas.base import Frozen, content_hash
from funreason_agents.training.config import FineTuneConfig
from funreason_agents.training.rows import Row, to_step_rows
from funreason_agents.training.segments import (
    IGNORED,
    REASONING,
    RESULT,
    ThinkMarks,
    TokenRow,
    count_segments,
    find_think_marks,
    tokenize_row,
)
from funreason_agents.training.template import check_template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FEWEST_ROWS = 2
"""One row gives a model nothing to generalise from, and no batch to average over."""


class CheckReport(Frozen):
    """What was found in rows that may be trained on; `tokens` counts those that are kept."""

    rows: int
    """Rows that were given: one for each assistant message."""
    kept: int
    too_long: int
    """Rows left out since they have more than `max_length` tokens."""
    heldout_duplicates: int
    """Rows left out since they are held out too."""
    max_length: int
    longest: int
    """Tokens of the longest row given."""
    tokens: dict[str, int]
    """Tokens of the prompts, of reasoning and of results; the last two are trained."""
    without_reasoning: int
    """Rows kept whose message has no reasoning."""
    without_calls: int
    """Rows kept whose message calls no tool."""


@dataclass(frozen=True)
class CheckedRows:
    """Rows that passed, rendered, and what was found."""

    report: CheckReport
    rows: list[TokenRow]
    heldout: list[TokenRow]
    """Held-out rows that fit, rendered."""
    marks: ThinkMarks
    """Of reasoning; none where no row has any, which a template need not be able to write then."""


def check_rows(
    rows: Sequence[Mapping[str, Any]],
    tokenizer: PreTrainedTokenizerBase,
    config: FineTuneConfig,
    heldout: Sequence[Mapping[str, Any]] = (),
) -> CheckReport:
    """Check that rows can be trained on, and count what is in them.

    Args:
        rows: Of any shape that `load_rows` reads.
        tokenizer: With the chat template that training will use.
        config: Settings; those of lengths and duplicates matter here.
        heldout: Rows that must not be trained on.

    Raises:
        TrainingError: the template loses tool calls or results or rewrites what came before; there
            are no rows, one row, none short enough, none with a trainable token; a row is also
            held out, or too long, and the settings say to refuse. The message says which.
    """
    return prepare_rows(to_step_rows(rows), tokenizer, config, to_step_rows(heldout)).report


def prepare_rows(
    rows: Sequence[Row],
    tokenizer: PreTrainedTokenizerBase,
    config: FineTuneConfig,
    heldout: Sequence[Row] = (),
    context: int | None = None,
) -> CheckedRows:
    """Check step rows as `check_rows` does, and return them rendered.

    Args:
        rows: What to train on.
        tokenizer: With the chat template that training will use.
        config: Settings.
        heldout: Rows that must not be trained on. Those that are too long are left out.
        context: Most tokens that the model can read.

    Raises:
        TrainingError: as `check_rows`.
    """
    if not rows:
        msg = "there is no row to train on: no assistant message that may be trained on"
        raise TrainingError(msg)
    reasoned = any(row["completion"][0].get("reasoning_content") for row in [*rows, *heldout])
    check_template(tokenizer, reasoning=reasoned)
    marks = find_think_marks(tokenizer) if reasoned else ThinkMarks()
    fresh = _without_heldout(rows, heldout, config)
    rendered = [_tokenize(tokenizer, f"row {number}", row) for number, row in fresh]
    limit = config.max_length if context is None else min(config.max_length, context)
    fitting = [
        (row, tokens)
        for (_, row), tokens in zip(fresh, rendered, strict=True)
        if len(tokens.input_ids) <= limit
    ]
    longest = max(len(tokens.input_ids) for tokens in rendered)
    too_long = len(rendered) - len(fitting)
    if too_long and (config.long_rows == "refuse" or not fitting):
        own = limit == config.max_length
        msg = (
            f"{too_long} of {len(rendered)} rows have more than "
            + (f"max_length={limit} tokens" if own else f"the {limit} tokens the model can read")
            + f", the longest {longest}. "
            + ("Raise max_length, shorten" if own else "Shorten")
            + " the rows (fewer tools is most effective), or leave them out with long_rows='drop'"
        )
        raise TrainingError(msg)
    if len(fitting) < FEWEST_ROWS:
        msg = f"only one row is left to train on, of {len(rows)}; at least {FEWEST_ROWS} are needed"
        raise TrainingError(msg)
    report = _count(fitting, marks)
    return CheckedRows(
        report=report.model_copy(
            update={
                "rows": len(rows),
                "too_long": too_long,
                "heldout_duplicates": len(rows) - len(fresh),
                "max_length": limit,
                "longest": longest,
            }
        ),
        rows=[tokens for _, tokens in fitting],
        marks=marks,
        heldout=_prepare_heldout(tokenizer, heldout, limit),
    )


def _prepare_heldout(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row], limit: int
) -> list[TokenRow]:
    """Return held-out rows that fit, rendered."""
    rendered = [_tokenize(tokenizer, f"held-out row {n}", row) for n, row in enumerate(rows, 1)]
    fitting = [tokens for tokens in rendered if len(tokens.input_ids) <= limit]
    if rows and not fitting:
        msg = f"each of the {len(rows)} held-out rows has more than {limit} tokens; take others"
        raise TrainingError(msg)
    return fitting


def _without_heldout(
    rows: Sequence[Row], heldout: Sequence[Row], config: FineTuneConfig
) -> list[tuple[int, Row]]:
    """Return rows that are not held out, each with its number from 1."""
    known = {_identify(row) for row in heldout}
    numbered = list(enumerate(rows, start=1))
    fresh = [(number, row) for number, row in numbered if _identify(row) not in known]
    shared = len(numbered) - len(fresh)
    if shared and (config.heldout_duplicates == "refuse" or not fresh):
        first = next(number for number, row in numbered if _identify(row) in known)
        msg = (
            f"{shared} of {len(rows)} rows are held out too, row {first} first: the held-out loss "
            "would flatter the model. Split the records anew (`funreason export --split`), or "
            "leave them out with heldout_duplicates='drop'"
        )
        raise TrainingError(msg)
    return fresh


def _identify(row: Row) -> str:
    """Return a hash of what is said in a row: identifiers of calls do not count."""
    return content_hash([_spoken(message) for message in [*row["prompt"], *row["completion"]]])


def _spoken(message: Mapping[str, Any]) -> list[Any]:
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    return [message["role"], message["content"], message.get("reasoning_content"), calls]


def _tokenize(tokenizer: PreTrainedTokenizerBase, name: str, row: Row) -> TokenRow:
    try:
        tokens = tokenize_row(tokenizer, row)
    except TrainingError as exc:
        msg = f"{name}: {exc}"
        raise TrainingError(msg) from exc
    if all(label == IGNORED for label in tokens.labels):
        msg = f"{name} has no token to train on: the chat template leaves its answer out"
        raise TrainingError(msg)
    return tokens


def _count(rows: Sequence[tuple[Row, TokenRow]], marks: ThinkMarks) -> CheckReport:
    counts = [count_segments(tokens, marks) for _, tokens in rows]
    trained = sum(reasoning + result for reasoning, result in counts)
    everything = sum(len(tokens.input_ids) for _, tokens in rows)
    return CheckReport(
        rows=len(rows),
        kept=len(rows),
        too_long=0,
        heldout_duplicates=0,
        max_length=0,
        longest=0,
        tokens={
            "prompt": everything - trained,
            "reasoning": sum(counted[REASONING - 1] for counted in counts),
            "result": sum(counted[RESULT - 1] for counted in counts),
        },
        without_reasoning=sum(not reasoning for reasoning, _ in counts),
        without_calls=sum(not row["completion"][0].get("tool_calls") for row, _ in rows),
    )
