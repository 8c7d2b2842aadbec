"""Reasoning for vLLM, read as text; a plug-in that needs nothing but vLLM.

vLLM's own parsers want think tags that are single tokens, which small models lack, or take all of
an answer without a think block for reasoning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from vllm.entrypoints.generate.base.protocol import DeltaMessage  # type: ignore[import-not-found]
from vllm.reasoning import (  # type: ignore[import-not-found]
    ReasoningParser,
    ReasoningParserManager,
)

THINK, END_THINK = "<think>", "</think>"
HEADER = "<|im_start|>assistant\n"


def split_answer(text: str, opened: bool = False) -> tuple[str, str | None]:
    """Return the reasoning and the words so far; None while it is open what comes.

    What may be the beginning of a tag is held back, so that both only ever grow.

    Args:
        text: What was generated so far.
        opened: The prompt has opened the think block.
    """
    if not opened and not text.startswith(THINK):
        return "", None if THINK.startswith(text) else text
    reasoning, closed, words = text.removeprefix(THINK).partition(END_THINK)
    if closed:
        return reasoning.strip("\n"), words.lstrip("\n")
    tags = (END_THINK, f"\n{END_THINK}")
    held = max(n for tag in tags for n in range(len(tag)) if reasoning.endswith(tag[:n]))
    return reasoning[: len(reasoning) - held].lstrip("\n"), None


@ReasoningParserManager.register_module("funreason_think")
class ThinkTextParser(ReasoningParser):  # type: ignore[misc]
    """Reads an optional think block at the start of an answer."""

    opened = False

    @property
    def reasoning_start_str(self) -> str:
        """What opens reasoning."""
        return THINK

    @property
    def reasoning_end_str(self) -> str:
        """What closes reasoning."""
        return END_THINK

    def adjust_initial_state_from_prompt(self, prompt_token_ids: Sequence[int]) -> None:
        """See whether the prompt ends within a think block."""
        self.opened = self._read(prompt_token_ids[-16:]).rstrip("\n").endswith(THINK)

    def is_reasoning_end(self, input_ids: Sequence[int]) -> bool:
        """Return whether the last answer has come to its words.

        True right after the closing tag, so that a grammar for the words holds from the first on;
        a streamed answer therefore begins with the line breaks that follow the tag.
        """
        answer = self._read(input_ids).rpartition(HEADER)[2]
        return split_answer(answer, self.opened)[1] is not None

    def is_reasoning_end_streaming(
        self, input_ids: Sequence[int], delta_ids: Iterable[int]
    ) -> bool:
        """Return the same of an answer that is being written."""
        return self.is_reasoning_end(input_ids)

    def extract_content_ids(self, input_ids: list[int]) -> list[int]:
        """Return the tokens as they are; what follows reads their text."""
        return input_ids

    def extract_reasoning(self, model_output: str, request: Any) -> tuple[str | None, str | None]:
        """Return reasoning and words of a whole answer."""
        opened = not model_output.startswith(THINK) and END_THINK in model_output
        reasoning, words = split_answer(model_output, opened)
        return reasoning or None, words or None

    def extract_reasoning_streaming(
        self,
        previous_text: str,
        current_text: str,
        delta_text: str,
        previous_token_ids: Sequence[int],
        current_token_ids: Sequence[int],
        delta_token_ids: Sequence[int],
    ) -> DeltaMessage | None:
        """Return what has been added to either."""
        before = split_answer(previous_text, self.opened)
        now = split_answer(current_text, self.opened)
        reasoning = now[0][len(before[0]) :]
        words = (now[1] or "")[len(before[1] or "") :]
        if not reasoning and not words:
            return None
        return DeltaMessage(reasoning=reasoning or None, content=words or None)

    def _read(self, ids: Sequence[int]) -> str:
        return str(self.model_tokenizer.decode(list(ids), skip_special_tokens=False))
