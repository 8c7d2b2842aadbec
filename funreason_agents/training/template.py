"""The chat template: one text at training, at serving, and at evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from transformers import AutoTokenizer, PreTrainedTokenizerBase
from trl.chat_template_utils import (
    add_response_schema,
    get_training_chat_template,
    supports_tool_calling,
)

from funreason_agents.errors import TrainingError, boundary
from funreason_agents.training.answers import END_OF_TURN

HOUSE_TEMPLATE = Path(__file__).with_name("templates") / "tools.jinja"
CHATML = ("<|im_start|>", END_OF_TURN)
"""The tokens that the house template needs; none is ever added to a vocabulary."""
PADS = ("<|endoftext|>", "<|pad|>", "<pad>", "[PAD]", "<|finetune_right_pad_id|>", "<unk>")
RESPONSE_TEMPLATE = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "reasoning_content": {
            "open": "<think>",
            "close_pattern": r"</think>\s*",
            "content": "text",
        },
        "tool_calls": {
            "open": "<tool_call>",
            "close_pattern": r"</tool_call>\s*",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": r"<\|im_end\|>\s*", "content": "text"},
    },
}
"""How transformers (5.13 and later) reads what the house template writes; TRL needs it for calls
in rollouts. It must be lenient: what is malformed is judged by `answers.parse_answer`."""

Message = dict[str, Any]


def prepare_tokenizer(model: str | Path, template: str = "auto") -> PreTrainedTokenizerBase:
    """Load a model's tokenizer with a chat template that is fit for training on tool calls.

    Args:
        model: Name or directory of the model.
        template: `"auto"` keeps the model's own template if it shows reasoning, calls and results,
            never rewrites earlier messages and marks what is trained on, or if TRL has such a
            version of it; otherwise the house template is used. A path gives that file.

    Returns:
        The tokenizer. Its vocabulary is the model's; padding differs from the end of a turn where
        the vocabulary has a token for that.

    Raises:
        TrainingError: there is no such model or file, or no template fits.
    """
    with boundary(TrainingError, f"load the tokenizer of {str(model)!r}"):
        tokenizer = AutoTokenizer.from_pretrained(str(model))
    if template != "auto":
        tokenizer.chat_template = _read_template(Path(template))
    else:
        _choose_template(tokenizer, str(model))
    if tokenizer.chat_template == HOUSE_TEMPLATE.read_text(encoding="utf-8"):
        tokenizer.eos_token = END_OF_TURN
        tokenizer.response_template = RESPONSE_TEMPLATE
    _choose_pad(tokenizer)
    return tokenizer


def _read_template(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        msg = f"cannot read the chat template {str(path)!r}: {exc}; give a Jinja file, or 'auto'"
        raise TrainingError(msg) from exc


def _choose_template(tokenizer: PreTrainedTokenizerBase, model: str) -> None:
    """Keep the model's template, or TRL's version of it, where it is fit; else take ours."""
    own, chatml = _make_own_fit(tokenizer), set(CHATML) <= set(tokenizer.get_vocab())
    # Where only reasoning is lost, as with Qwen2.5, ours is better, if it can be used.
    if own and not find_losses(tokenizer, reasoning=chatml):
        return
    if not chatml:
        msg = (
            f"the chat template of {model!r} is not fit for training on tool calls, and its "
            f"vocabulary lacks {' or '.join(CHATML)}, which the house template needs. Give a "
            "template of your own: template=FILE"
        )
        raise TrainingError(msg)
    tokenizer.chat_template = HOUSE_TEMPLATE.read_text(encoding="utf-8")


def _make_own_fit(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Give the tokenizer TRL's version of its template where it needs one.

    Returns:
        Whether it now shows tool calls, rewrites no results' past and marks what is trained on.
    """
    if tokenizer.chat_template is None or not supports_tool_calling(tokenizer):
        return False
    try:
        patched = get_training_chat_template(tokenizer)
    except ValueError:  # neither fit as it is, nor known to TRL
        return False
    if getattr(tokenizer, "response_template", None) is None:
        with suppress(ValueError):  # unknown to TRL, which then says so where it needs one
            add_response_schema(tokenizer)
    tokenizer.chat_template = patched or tokenizer.chat_template
    return True


def _choose_pad(tokenizer: PreTrainedTokenizerBase) -> None:
    """Pad with a token that ends no turn, or the end of turns would be left out of the loss."""
    if tokenizer.pad_token is not None and tokenizer.pad_token != tokenizer.eos_token:
        return
    vocabulary, used = tokenizer.get_vocab(), (*CHATML, tokenizer.eos_token, tokenizer.bos_token)
    pads = (token for token in PADS if token in vocabulary and token not in used)
    tokenizer.pad_token = next(pads, tokenizer.eos_token)


def render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Sequence[dict[str, Any]],
    add_generation_prompt: bool = False,
) -> list[int]:
    """Return the token ids of a conversation.

    Args:
        tokenizer: With the chat template to use.
        messages: In OpenAI's form, `arguments` as objects, reasoning as `reasoning_content`.
        tools: What is offered, in OpenAI's form.
        add_generation_prompt: End with the header of the assistant's next answer.

    Raises:
        TrainingError: the template refuses the conversation.
    """
    with boundary(TrainingError, "render a conversation with the chat template"):
        ids = tokenizer.apply_chat_template(
            list(messages),
            tools=list(tools) or None,
            add_generation_prompt=add_generation_prompt,
            tokenize=True,
            return_dict=False,
        )
    return cast("list[int]", ids)


def check_template(tokenizer: PreTrainedTokenizerBase, *, reasoning: bool = False) -> None:
    """Check that the chat template shows what a model must see and learn.

    Args:
        tokenizer: With the chat template to check.
        reasoning: Also require that the reasoning of the last answer is shown.

    Raises:
        TrainingError: it loses something; the message says what.
    """
    if losses := find_losses(tokenizer, reasoning=reasoning):
        msg = (
            f"the chat template of {tokenizer.name_or_path!r} {'; it '.join(losses)}. "
            "Use template='auto', or give a file that keeps it"
        )
        raise TrainingError(msg)


def find_losses(tokenizer: PreTrainedTokenizerBase, *, reasoning: bool = False) -> list[str]:
    """Return what is wrong with the chat template, each as the rest of a sentence.

    Sentinels are rendered and looked for; before and after each answer, the conversation so far
    must be a prefix of the whole (in token ids), header of the answer included.
    """
    schema = {"type": "object", "properties": {"sentinel_parameter": {"type": "string"}}}
    call = {"name": "sentinel_call", "arguments": {"sentinel_key": "sentinel_value"}}
    tool = {"name": "sentinel_tool", "description": "sentinel_summary", "parameters": schema}
    messages: list[Message] = [
        {"role": "user", "content": "sentinel_query"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"type": "function", "function": call}],
        },
        {"role": "tool", "name": "sentinel_call", "content": "sentinel_result"},
        {"role": "assistant", "content": "sentinel_reply"},
        {"role": "user", "content": "again"},
        {"role": "assistant", "content": "yes", "reasoning_content": "sentinel_reasoning"},
    ]
    tools = [{"type": "function", "function": tool}]
    wanted = {
        "sentinel_call": "loses the names of tool calls",
        "sentinel_key": "loses the arguments of tool calls",
        "sentinel_value": "loses the values of tool calls",
        "sentinel_result": "loses tool results",
        "sentinel_query": "loses queries",
        "sentinel_reply": "loses replies",
        "sentinel_tool": "loses the offered tools",
        "sentinel_parameter": "loses the parameters of tools",
    }
    if reasoning:
        wanted["sentinel_reasoning"] = "loses reasoning"
    try:
        whole = render(tokenizer, messages, tools)
    except TrainingError as exc:
        return [f"cannot show tool calls ({exc.__cause__})"]
    text = tokenizer.decode(whole)
    losses = [what for sentinel, what in wanted.items() if sentinel not in text]
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = render(tokenizer, messages[:number], tools, add_generation_prompt=True)
        after = render(tokenizer, messages[: number + 1], tools)
        if whole[: len(before)] != before or whole[: len(after)] != after:
            losses.append("rewrites earlier messages (it is not prefix preserving)")
            break
    return losses
