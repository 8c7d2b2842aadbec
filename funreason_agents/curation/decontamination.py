"""Overlap of training records with a benchmark's questions and gold calls.

Two kinds of overlap are looked for: user turns that say what a benchmark question says (the same
words, or long runs of the same words), and turns that make the calls of a benchmark's gold answer.
Both are exact comparisons after normalisation, found through dictionaries, so the cost is linear
in the amount of text. Paraphrases and translations are not found.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from funreason_agents.curation.benchmark import Benchmark, NormalCall, load_bfcl, normalise_call
from funreason_agents.errors import ConfigurationError
from funreason_agents.schemas.base import Frozen
from funreason_agents.schemas.record import TrainingRecord
from funreason_agents.schemas.tools import ToolCall

FLAG_SHARE = 0.5
"""A record is flagged if this share of the n-grams of a user turn is benchmark text, or if a turn
holds this share of the n-grams of one question: the whole question, with other words around it."""
FLAG_CALLS = 2
"""Equal call lists shorter than this are reported, not flagged: one call is often a coincidence."""

__all__ = [
    "Benchmark",
    "DecontaminationReport",
    "NormalCall",
    "find_overlaps",
    "load_bfcl",
    "render_report",
]

_Words: TypeAlias = tuple[str, ...]


class _Match(Frozen):
    record_id: str
    turn: int
    """Position of the user turn in the record, from 0."""
    benchmark_id: str
    """The first of the benchmark's turns that match."""


class QuestionMatch(_Match):
    """A user turn with the words of a benchmark question."""

    text: str


class NgramOverlap(_Match):
    """A user turn that shares n-grams with the benchmark; the id is the question with the most."""

    share: float
    """Share of the turn's distinct n-grams that occur in any benchmark question."""
    question_share: float
    """Share of that question's distinct n-grams that occur in the turn."""
    example: str
    """The longest shared run of words, normalised."""


class CallMatch(_Match):
    """A turn whose whole list of calls is a benchmark turn's whole list of gold calls."""

    calls: tuple[NormalCall, ...]


class DecontaminationReport(Frozen):
    """What records and a benchmark have in common."""

    benchmark: str
    n: int
    records: int
    user_turns: int
    questions: int
    """Questions of the benchmark that were compared."""
    exact_questions: tuple[QuestionMatch, ...]
    ngram_questions: tuple[NgramOverlap, ...]
    """Largest share first; holds exact questions of at least n words too."""
    exact_calls: tuple[CallMatch, ...]
    calls_with_arguments: int
    exact_single_calls: int
    """Calls with arguments that occur in the benchmark as they are. Informational."""
    unparsed_calls: int
    """Gold calls of the benchmark that could not be read, and so were not compared."""
    flagged: tuple[str, ...]
    """Ids of the records that should not be trained on, in the order of the records."""

    @property
    def exact_single_call_share(self) -> float:
        """Share of the calls with arguments that occur in the benchmark; 0 without any."""
        return self.exact_single_calls / max(self.calls_with_arguments, 1)


def find_overlaps(
    records: Iterable[TrainingRecord], benchmark: Benchmark, *, n: int = 8
) -> DecontaminationReport:
    """Compare every user turn and every call of `records` with `benchmark`.

    Calls are compared as they are written: an argument left out is not the same as its default.

    Args:
        records: The training records; read once.
        benchmark: What they must not repeat.
        n: Length of the word n-grams. Texts shorter than this are only compared as a whole.

    Raises:
        ConfigurationError: `n` is less than 1.
    """
    if n < 1:
        msg = f"n is {n!r}; pass the length of the n-grams in words, at least 1"
        raise ConfigurationError(msg)
    index = _build_index(benchmark, n)
    ids: list[str] = []
    turns: list[_UserTurn] = []
    for record in records:
        ids.append(record.id)
        turns.extend(_iterate_turns(record))
    exact = tuple(filter(None, (_match_question(turn, index) for turn in turns)))
    shared = tuple(filter(None, (_match_ngrams(turn, index) for turn in turns)))
    equal = tuple(filter(None, (_match_calls(turn, index) for turn in turns)))
    calls = [call for turn in turns for call in turn.calls if call[1] != "{}"]
    return DecontaminationReport(
        benchmark=benchmark.name,
        n=n,
        records=len(ids),
        user_turns=len(turns),
        questions=len(benchmark.questions),
        exact_questions=exact,
        ngram_questions=tuple(sorted(shared, key=lambda overlap: -overlap.share)),
        exact_calls=equal,
        calls_with_arguments=len(calls),
        exact_single_calls=sum(call in index.single_calls for call in calls),
        unparsed_calls=sum(map(len, benchmark.unparsed.values())),
        flagged=_flag_records(ids, exact, shared, equal),
    )


def render_report(report: DecontaminationReport, *, top: int = 10) -> str:
    """Return `report` as Markdown: the counts, then the `top` matches of each kind."""
    single = f"{report.exact_single_calls} of {report.calls_with_arguments}"
    rows: list[tuple[str, object]] = [
        ("records", report.records),
        ("user turns", report.user_turns),
        ("benchmark questions", report.questions),
        ("user turns equal to a question", len(report.exact_questions)),
        (f"user turns sharing a {report.n}-gram with a question", len(report.ngram_questions)),
        ("turns with all the calls of a gold turn", len(report.exact_calls)),
        ("single calls that occur in the gold calls", single),
        ("gold calls that could not be read", report.unparsed_calls),
        ("flagged records", len(report.flagged)),
    ]
    parts = [
        f"# Overlap with {report.benchmark}\n",
        _render_table(("measure", "count"), rows),
        *_render_matches(report, top),
    ]
    if report.flagged:
        parts.append("\n## Flagged records\n")
        parts.extend(f"- {record_id}" for record_id in report.flagged)
    return "\n".join(parts) + "\n"


# --- Normal forms.


def _split_words(text: str) -> _Words:
    """Return the words of `text` without case, punctuation and whitespace."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return tuple(re.findall(r"[^\W_]+", folded))


def _make_ngrams(words: _Words, n: int) -> list[_Words]:
    return [words[start : start + n] for start in range(len(words) - n + 1)]


# --- Comparing.


@dataclass(frozen=True)
class _UserTurn:
    record_id: str
    number: int
    text: str
    words: _Words
    calls: tuple[NormalCall, ...]


@dataclass(frozen=True)
class _Index:
    """The benchmark, by what is looked up in it."""

    n: int
    questions: dict[_Words, str]
    """First id of each question, by its words."""
    ngrams: dict[_Words, list[str]]
    """First ids of the questions that hold an n-gram."""
    sizes: dict[str, int]
    """Number of distinct n-grams of each question."""
    call_lists: dict[tuple[NormalCall, ...], str]
    single_calls: frozenset[NormalCall]


def _build_index(benchmark: Benchmark, n: int) -> _Index:
    questions: dict[_Words, str] = {}
    for question_id, text in benchmark.questions.items():
        if words := _split_words(text):
            questions.setdefault(words, question_id)
    ngrams: dict[_Words, list[str]] = {}
    sizes = {}
    for words, question_id in questions.items():
        distinct = dict.fromkeys(_make_ngrams(words, n))
        sizes[question_id] = len(distinct)
        for ngram in distinct:
            ngrams.setdefault(ngram, []).append(question_id)
    call_lists: dict[tuple[NormalCall, ...], str] = {}
    for turn_id, calls in benchmark.calls.items():
        # What is left of a list with an unreadable call is not the whole list.
        if calls and turn_id not in benchmark.unparsed:
            call_lists.setdefault(calls, turn_id)
    single_calls = frozenset(call for calls in benchmark.calls.values() for call in calls)
    return _Index(n, questions, ngrams, sizes, call_lists, single_calls)


def _iterate_turns(record: TrainingRecord) -> Iterator[_UserTurn]:
    """Yield the user's turns; a message of the user begins one."""
    turns: list[tuple[str, list[ToolCall]]] = []
    for message in record.messages:
        if message.role == "user":
            turns.append((message.content, []))
        elif turns:
            turns[-1][1].extend(message.tool_calls)
    for number, (text, made) in enumerate(turns):
        calls = tuple(normalise_call(call.name, call.arguments) for call in made)
        yield _UserTurn(record.id, number, text, _split_words(text), calls)


def _match_question(turn: _UserTurn, index: _Index) -> QuestionMatch | None:
    found = index.questions.get(turn.words)
    if found is None:
        return None
    return QuestionMatch(
        record_id=turn.record_id, turn=turn.number, benchmark_id=found, text=turn.text
    )


def _match_ngrams(turn: _UserTurn, index: _Index) -> NgramOverlap | None:
    ngrams = _make_ngrams(turn.words, index.n)
    distinct = dict.fromkeys(ngrams)
    counts = Counter(found for ngram in distinct for found in index.ngrams.get(ngram, ()))
    if not counts:
        return None
    # A short question that is in there whole says more than a piece of a long one.
    best, shared = max(
        counts.items(), key=lambda pair: (pair[1] >= FLAG_SHARE * index.sizes[pair[0]], pair[1])
    )
    hits = [best in index.ngrams.get(ngram, ()) for ngram in ngrams]
    return NgramOverlap(
        record_id=turn.record_id,
        turn=turn.number,
        benchmark_id=best,
        share=sum(ngram in index.ngrams for ngram in distinct) / len(distinct),
        question_share=shared / index.sizes[best],
        example=_find_longest_run(turn.words, hits, index.n),
    )


def _find_longest_run(words: _Words, hits: list[bool], n: int) -> str:
    """Return the words of the longest run of n-grams that are hits."""
    longest, start = range(0), 0
    for position, hit in enumerate(hits):
        if not hit:
            start = position + 1
        elif position + 1 - start > len(longest):
            longest = range(start, position + 1)
    return " ".join(words[longest.start : longest.stop + n - 1])


def _match_calls(turn: _UserTurn, index: _Index) -> CallMatch | None:
    found = index.call_lists.get(turn.calls)
    if found is None:
        return None
    return CallMatch(
        record_id=turn.record_id, turn=turn.number, benchmark_id=found, calls=turn.calls
    )


def _flag_records(
    ids: list[str],
    exact: Iterable[QuestionMatch],
    shared: Iterable[NgramOverlap],
    equal: Iterable[CallMatch],
) -> tuple[str, ...]:
    wrong = {match.record_id for match in exact}
    wrong.update(
        overlap.record_id
        for overlap in shared
        if max(overlap.share, overlap.question_share) >= FLAG_SHARE
    )
    wrong.update(match.record_id for match in equal if len(match.calls) >= FLAG_CALLS)
    return tuple(record_id for record_id in dict.fromkeys(ids) if record_id in wrong)


# --- Rendering.


def _render_table(header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(map(_render_cell, line))} |" for line in lines)


def _render_cell(value: object) -> str:
    text = f"{value:.0%}" if isinstance(value, float) else " ".join(str(value).split())
    short = text if len(text) <= 80 else f"{text[:77]}..."
    return short.replace("|", "\\|")


def _render_matches(report: DecontaminationReport, top: int) -> Iterator[str]:
    where = ("record", "turn", "benchmark")
    sections: list[tuple[str, tuple[str, ...], list[tuple[object, ...]]]] = [
        ("Equal questions", ("text",), [(*_locate(m), m.text) for m in report.exact_questions]),
        (
            f"Shared {report.n}-grams",
            ("of turn", "of question", "longest run"),
            [(*_locate(m), m.share, m.question_share, m.example) for m in report.ngram_questions],
        ),
        (
            "Equal call lists",
            ("calls",),
            [(*_locate(m), "; ".join(map("".join, m.calls))) for m in report.exact_calls],
        ),
    ]
    for title, columns, rows in sections:
        if rows:
            yield f"\n## {title}: {min(top, len(rows))} of {len(rows)}\n"
            yield _render_table((*where, *columns), rows[:top])


def _locate(match: _Match) -> tuple[str, int, str]:
    return match.record_id, match.turn, match.benchmark_id
