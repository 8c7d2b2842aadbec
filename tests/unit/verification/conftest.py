"""The corpus of verified records that the mutation tests change, made once."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from builders import Item, make_corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    items = make_corpus(tmp_path_factory.mktemp("corpus"), trajectories=3)
    assert len(items) >= 8
    return items
