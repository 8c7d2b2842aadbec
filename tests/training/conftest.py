"""A tiny random model and its tokenizer, made here; and rows for it."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import pytest

pytest.importorskip("trl")

import torch
from book_rows import make_row
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

# What the training libraries warn about among themselves; our own warnings stay errors.
FOREIGN = (
    "ignore:.*gradient_checkpointing.*:FutureWarning",
    "ignore::DeprecationWarning:torch.*",
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def build_tokenizer(folder):
    corpus = [str(make_row(number)) for number in range(16)]
    corpus += [
        "<think>\n\n</think>\n\n",
        '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>',
    ]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    fast.save_pretrained(folder)
    return fast


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Directory of a random Llama with 2 layers of width 32."""
    folder = tmp_path_factory.mktemp("tiny_model")
    tokenizer = build_tokenizer(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        # Weights that are not near zero, so that a wrong mask or position changes the loss.
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tiny_model):
    from funreason_agents.training.template import prepare_tokenizer

    return prepare_tokenizer(tiny_model)


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/training" in item.path.as_posix():
            for rule in FOREIGN:
                item.add_marker(pytest.mark.filterwarnings(rule))
