"""A tiny random model with a tokenizer, to try fine-tuning offline and in seconds.

    python examples/tiny_model.py DIRECTORY

It has never read anything: it shows that the machinery runs, not what training is good for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"


def make_tiny_model(
    folder: str | Path,
    texts: Iterable[str],
    *,
    seed: int = 0,
    vocabulary: int = 1024,
    width: int = 64,
    **changes: Any,
) -> Path:
    """Save a random Llama of two layers, and a tokenizer that is trained on `texts`.

    Args:
        folder: Where to save both.
        texts: What the tokenizer is to write in few tokens.
        seed: Seed of the weights.
        vocabulary: Tokens that there are at most.
        width: Of the hidden states.
        changes: Other settings of `LlamaConfig`.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END_OF_TEXT)
    fast.save_pretrained(folder)
    torch.manual_seed(seed)
    settings = {
        "vocab_size": len(fast),
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": fast.eos_token_id,
        "pad_token_id": fast.pad_token_id,
    }
    config = LlamaConfig(**settings | changes)
    LlamaForCausalLM(config).save_pretrained(folder)
    return Path(folder)


if __name__ == "__main__":
    sys.stdout.write(f"{make_tiny_model(sys.argv[1], [__doc__])}\n")
