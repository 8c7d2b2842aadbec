"""Which records say nearly the same, and what becomes of them."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from funreason_agents.curation.near_duplicates import (
    THRESHOLD,
    NearDuplicates,
    jaccard,
    make_shingles,
)
from funreason_agents.record_log import LogEntry, RecordLog
from funreason_agents.run_directory import RunDirectory

WORDS = [f"word{number}" for number in range(400)]


def text(seed: int, length: int = 60) -> list[str]:
    return random.Random(seed).choices(WORDS, k=length)


def shingles(words: list[str]) -> frozenset[int]:
    return make_shingles([" ".join(words)])


def entry(name: str, *said: str, signature: str = "") -> LogEntry:
    lines = (f"{name}\n".encode(), f"p-{name}\n".encode())
    return LogEntry(signature or name, lines, make_shingles(said))


def written(directory: RunDirectory, entries: list[LogEntry | None], order: list[int]) -> list[str]:
    with RecordLog(directory) as log:
        for index in order:
            log.add(index, entries[index])
        log.finish(complete=True)
    return [*directory.records.read_text().split(), f"{log.duplicates}+{log.near_duplicates}"]


def test_case_spacing_and_punctuation_are_no_difference() -> None:
    assert make_shingles(["Book a room in Oslo!"]) == make_shingles(["book  a ROOM, in oslo"])
    assert make_shingles(["\uff22ook a STRASSE room"]) == make_shingles(["book a stra\u00dfe room"])


def test_values_are_part_of_what_is_said() -> None:
    assert make_shingles(["order number 17 please"]) != make_shingles(["order number 18 please"])


def test_no_shingle_reaches_over_messages_and_short_ones_count_whole() -> None:
    assert len(make_shingles(["a b c", "d e f"])) == 2
    assert make_shingles(["yes"]) and make_shingles(["yes"]) != make_shingles(["no"])
    assert make_shingles(["", "?!"]) == frozenset() == make_shingles([])


def test_similarity_is_the_share_of_common_shingles() -> None:
    assert jaccard(frozenset({1, 2, 3}), frozenset({2, 3, 4})) == 0.5
    assert jaccard(frozenset(), frozenset()) == 0.0


@pytest.mark.parametrize("seed", range(20))
def test_near_duplicates_are_found_and_others_never(seed: int) -> None:
    index, base = NearDuplicates(), text(seed)
    index.add(shingles(base))
    for cut in range(0, 40, 4):
        other = shingles([*text(seed + 1000, cut), *base[cut:]])
        likeness = jaccard(shingles(base), other)
        if likeness >= THRESHOLD:
            assert index.find(other) == 0
        else:
            assert index.find(other) is None


def test_the_first_of_several_near_ones_is_named() -> None:
    index, base = NearDuplicates(threshold=0.5), text(1)
    for words in (text(2), base, [*base[:-1], "x"]):
        index.add(shingles(words))
    assert index.find(shingles(base)) == 1


def test_a_common_phrase_neither_drops_a_record_nor_fills_the_index() -> None:
    index, common = NearDuplicates(), text(3, 40)
    for seed in range(400):
        mine = shingles([*common, *text(seed + 10, 25)])
        assert index.find(mine) is None
        index.add(mine)
    assert max(map(len, index._bands.values())) <= 32


def test_the_same_records_are_near_in_another_process() -> None:
    code = (
        "from funreason_agents.curation.near_duplicates import *;"
        "from funreason_agents.curation.near_duplicates import _make_bands;"
        "print(list(_make_bands(make_shingles(['book a room in Oslo today']))))"
    )
    outs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, text=True,
            capture_output=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(outs) == 1 and len(outs.pop()) > 50


SAID = " ".join(text(7))
ENTRIES = [
    entry("a", SAID),
    entry("b", f"{SAID} thanks"),
    None,
    entry("c", " ".join(text(8))),
    entry("d", SAID, signature="a"),
    entry("e", f"{SAID} now", signature="b"),
]


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 5, 0, 4, 2, 1]])
def test_the_first_by_index_is_kept_in_whatever_order_they_end(tmp_path, order) -> None:
    assert written(RunDirectory(tmp_path), ENTRIES, order) == ["a", "c", "1+2"]


def test_a_run_that_goes_on_leaves_out_the_same_records(tmp_path) -> None:
    directory = RunDirectory(tmp_path)
    assert written(directory, ENTRIES[:2], [0, 1]) == ["a", "0+1"]
    assert written(directory, ENTRIES, [0, 1, 2, 3, 4, 5]) == ["a", "c", "1+2"]


def test_records_in_which_nothing_is_said_are_no_near_duplicates(tmp_path) -> None:
    assert written(RunDirectory(tmp_path), [entry("a"), entry("b")], [0, 1]) == ["a", "b", "0+0"]
