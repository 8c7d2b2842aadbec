"""A tiny random model and its tokenizer, made here; and rows for it."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# Not every host lets a process use the matrix unit of its processor; bfloat16 works without it.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")

import pytest

pytest.importorskip("trl")

from book_rows import make_row
from tiny_model import make_tiny_model

# What the training libraries warn about among themselves; our own warnings stay errors.
FOREIGN = (
    "ignore:.*gradient_checkpointing.*:FutureWarning",
    "ignore::DeprecationWarning:torch.*",
)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Directory of a random Llama with 2 layers of width 32."""
    texts = [str(make_row(number)) for number in range(16)]
    texts += [
        "<think>\n\n</think>\n\n",
        '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>',
    ]
    return make_tiny_model(
        tmp_path_factory.mktemp("tiny_model"),
        texts,
        vocabulary=420,
        width=32,
        max_position_embeddings=1024,
        # Weights that are not near zero, so that a wrong mask or position changes the loss.
        initializer_range=0.2,
    )


@pytest.fixture(scope="session")
def tokenizer(tiny_model):
    from funreason_agents.training.template import prepare_tokenizer

    return prepare_tokenizer(tiny_model)


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/training" in item.path.as_posix():
            for rule in FOREIGN:
                item.add_marker(pytest.mark.filterwarnings(rule))
