"""Which token is what: 0 = not trained, 1 = reasoning, 2 = result. From token ids, not from text.

A completion's reasoning goes from its first token through the last of the closing think mark; all
after it is result, the end-of-turn token included (FunReason's figure of SRML). The marks are
found in the token ids, so that packing, padding and batching, which pass on ids and labels only,
cannot displace them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from funreason_agents.errors import TrainingError, boundary
from funreason_agents.training.template import render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

UNTRAINED, REASONING, RESULT = 0, 1, 2
IGNORED = -100
"""Label of a token without loss."""
_OPEN, _CLOSE = "<think>", "</think>"
_PROBES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("because", {"content": "done"}),
    ("It fits.", {"content": "`done`"}),
    (
        "because",
        {
            "content": "",
            "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {}}}],
        },
    ),
)
"""Messages that a template is tried with: what stands around a mark may change its tokens."""


@dataclass(frozen=True)
class ThinkMarks:
    """Token ids of the marks around reasoning; several ways where the surroundings change them."""

    open: tuple[tuple[int, ...], ...] = ()
    close: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class TokenRow:
    """A rendered row: `labels` are the ids of the completion, elsewhere `IGNORED`."""

    input_ids: list[int]
    labels: list[int]


def tokenize_row(tokenizer: PreTrainedTokenizerBase, row: Mapping[str, Any]) -> TokenRow:
    """Render a step row and mark its completion.

    Raises:
        TrainingError: the rendered prompt is no prefix of the rendered row, so that the model would
            be trained on another text than it is asked with; or the template refuses the row.
    """
    prompt = render(tokenizer, row["prompt"], row["tools"], add_generation_prompt=True)
    whole = render(tokenizer, [*row["prompt"], *row["completion"]], row["tools"])
    if whole[: len(prompt)] != prompt:
        at = next((n for n, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), 0)
        msg = (
            "the chat template renders the prompt otherwise once the answer follows, from token "
            f"{at} on: {tokenizer.decode(prompt[at : at + 12])!r} becomes "
            f"{tokenizer.decode(whole[at : at + 12])!r}. Use --template with one that does not"
        )
        raise TrainingError(msg)
    return TokenRow(whole, [IGNORED] * len(prompt) + whole[len(prompt) :])


def find_think_marks(tokenizer: PreTrainedTokenizerBase) -> ThinkMarks:
    """Return the marks as this tokenizer and template write them.

    A token that holds more than the mark (such as `>` and a line break) belongs to it.

    Raises:
        TrainingError: the template drops reasoning, or the tokenizer cannot tell token positions.
    """
    opening: set[tuple[int, ...]] = set()
    closing: set[tuple[int, ...]] = set()
    for reasoning, answer in _PROBES:
        message = {"role": "assistant", "reasoning_content": reasoning, **answer}
        with boundary(TrainingError, "render reasoning with the chat template"):
            text = str(
                tokenizer.apply_chat_template(
                    [{"role": "user", "content": "go"}, message], tokenize=False
                )
            )
            encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        begin = text.rfind(reasoning)
        start, end = text.rfind(_OPEN, 0, max(begin, 0)), text.find(_CLOSE, max(begin, 0))
        if min(begin, start, end) < 0:
            msg = (
                "the chat template does not write reasoning between <think> and </think>, so "
                "reasoning and result cannot be told apart. Use --template, or --loss standard"
            )
            raise TrainingError(msg)
        ids, spans = encoded["input_ids"], encoded["offset_mapping"]
        opening.add(_ids_within(ids, spans, start, start + len(_OPEN)))
        closing.add(_ids_within(ids, spans, end, end + len(_CLOSE)))
    return ThinkMarks(tuple(sorted(opening)), tuple(sorted(closing)))


def _ids_within(
    ids: Sequence[int], spans: Sequence[tuple[int, int]], start: int, end: int
) -> tuple[int, ...]:
    return tuple(
        token
        for token, (left, right) in zip(ids, spans, strict=True)
        if left < end and right > start
    )


def find_segments(input_ids: Tensor, labels: Tensor, marks: ThinkMarks) -> Tensor:
    """Return the segment of each token.

    Args:
        input_ids: Token ids, (B, T), padded on either side, each row one or several packed rows.
        labels: Same shape; `IGNORED` where nothing is trained. A completion is a run of labels.
        marks: How reasoning begins and ends.

    Returns:
        Segments, (B, T). A completion whose prompt or first token does not open reasoning is all
        result; one that never closes it, all reasoning.
    """
    segments = torch.zeros_like(input_ids)
    for number in range(input_ids.shape[0]):
        ids = input_ids[number].tolist()
        for start, end in _runs((labels[number] != IGNORED).tolist()):
            boundary = _find_boundary(ids, start, end, marks)
            segments[number, start:boundary] = REASONING
            segments[number, boundary:end] = RESULT
    return segments


def _runs(flags: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Yield start and end of each run of true flags."""
    start = None
    for position, flag in enumerate(flags):
        if flag and start is None:
            start = position
        elif not flag and start is not None:
            yield start, position
            start = None
    if start is not None:
        yield start, len(flags)


def _find_boundary(ids: Sequence[int], start: int, end: int, marks: ThinkMarks) -> int:
    """Return the position of the first result token of a completion."""
    # Some templates open reasoning in the generation prompt, followed by white space at most.
    before = tuple(ids[max(start - 8, 0) : start])
    opened = any(
        tuple(ids[start : start + len(mark)]) == mark
        or any(before[-len(mark) - gap :][: len(mark)] == mark for gap in (0, 1))
        for mark in marks.open
    )
    if not opened:
        return start
    for position in range(start, end):
        for mark in marks.close:
            if ids[position] == mark[0] and tuple(ids[position : position + len(mark)]) == mark:
                return min(position + len(mark), end)
    return end


@dataclass
class SegmentCollator(DataCollatorForLanguageModeling):
    """TRL's collator, which also gives `segments`, (B, T)."""

    marks: ThinkMarks | None = None

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Return a batch."""
        batch: dict[str, Any] = super().torch_call(examples)
        if self.marks is not None:
            batch["segments"] = find_segments(batch["input_ids"], batch["labels"], self.marks)
        return batch


def count_segments(row: TokenRow, marks: ThinkMarks) -> tuple[int, int]:
    """Return how many tokens of a row are reasoning and how many result."""
    ids, labels = torch.tensor([row.input_ids]), torch.tensor([row.labels])
    segments = find_segments(ids, labels, marks)
    return int((segments == REASONING).sum()), int((segments == RESULT).sum())
