import pytest
import torch
from book_rows import make_row, make_rows

from funreason_agents.errors import TrainingError
from funreason_agents.training.segments import (
    IGNORED,
    SegmentCollator,
    ThinkMarks,
    find_segments,
    find_think_marks,
    tokenize_row,
)

MARKS = ThinkMarks(open=((7, 8),), close=((9, 8), (9, 5)))


def segments_of(ids, trained, marks=MARKS):
    labels = [token if flag else IGNORED for token, flag in zip(ids, trained, strict=True)]
    return find_segments(torch.tensor([ids]), torch.tensor([labels]), marks)[0].tolist()


@pytest.fixture(scope="module")
def marks(tokenizer):
    return find_think_marks(tokenizer)


def as_text(tokenizer, row, segments, kind):
    pairs = zip(row.input_ids, segments, strict=True)
    return tokenizer.decode([token for token, segment in pairs if segment == kind])


def test_reasoning_ends_with_the_closing_mark_and_all_after_it_is_result(tokenizer, marks):
    row = tokenize_row(tokenizer, make_row(1))
    ids, labels = torch.tensor([row.input_ids]), torch.tensor([row.labels])
    segments = find_segments(ids, labels, marks)[0].tolist()
    reasoning = as_text(tokenizer, row, segments, 1)
    result = as_text(tokenizer, row, segments, 2)
    assert reasoning.startswith("<think>\nThey want Emma.")
    assert reasoning.endswith("\n</think>")
    assert result.startswith("\n\n<tool_call>")
    assert result.rstrip("\n").endswith("</tool_call><|im_end|>")
    assert "Order 1" in as_text(tokenizer, row, segments, 0)


def test_without_reasoning_all_is_result(tokenizer, marks):
    row = tokenize_row(tokenizer, make_row(2, reasoning=False, call=False))
    ids, labels = torch.tensor([row.input_ids]), torch.tensor([row.labels])
    segments = find_segments(ids, labels, marks)[0].tolist()
    assert 1 not in segments
    assert as_text(tokenizer, row, segments, 2).startswith("Here is Ulysses.<|im_end|>")


def test_marks_in_content_without_reasoning_are_result(tokenizer, marks):
    row = make_row(1, reasoning=False, call=False)
    row["completion"][0]["content"] = "The tag </think> ends reasoning."
    tokens = tokenize_row(tokenizer, row)
    ids, labels = torch.tensor([tokens.input_ids]), torch.tensor([tokens.labels])
    assert 1 not in find_segments(ids, labels, marks)[0].tolist()


@pytest.mark.parametrize(
    ("ids", "trained", "expected"),
    [
        ([1, 2, 7, 8, 3, 9, 8, 4, 5], "001111111", [0, 0, 1, 1, 1, 1, 1, 2, 2]),
        # The other way to write the closing mark.
        ([1, 2, 7, 8, 3, 9, 5, 4, 5], "001111111", [0, 0, 1, 1, 1, 1, 1, 2, 2]),
        # Half a closing mark is none.
        ([1, 2, 7, 8, 9, 4, 9, 8, 5], "001111111", [0, 0, 1, 1, 1, 1, 1, 1, 2]),
        # Opened in the prompt, with and without white space after it.
        ([1, 7, 8, 3, 9, 8, 4], "0001111", [0, 0, 0, 1, 1, 1, 2]),
        ([7, 8, 6, 3, 9, 8, 4], "0001111", [0, 0, 0, 1, 1, 1, 2]),
        # Reasoning of an earlier message in the prompt opens nothing.
        ([7, 8, 3, 9, 8, 1, 2, 4, 5], "000000011", [0, 0, 0, 0, 0, 0, 0, 2, 2]),
        # Cut off before the end of reasoning.
        ([1, 2, 7, 8, 3], "00111", [0, 0, 1, 1, 1]),
        # Only the first closing mark counts.
        ([1, 7, 8, 9, 8, 4, 9, 8], "01111111", [0, 1, 1, 1, 1, 2, 2, 2]),
        # Two rows packed into one sequence.
        (
            [1, 7, 8, 3, 9, 8, 4, 1, 2, 4, 5, 1, 7, 8, 9, 5, 4],
            "01111110011011111",
            [0, 1, 1, 1, 1, 1, 2, 0, 0, 2, 2, 0, 1, 1, 1, 1, 2],
        ),
        ([1, 2, 3], "000", [0, 0, 0]),
    ],
)
def test_segments_from_ids(ids, trained, expected):
    assert segments_of(ids, [flag == "1" for flag in trained]) == expected


def test_padding_side_moves_segments_and_changes_none(tokenizer, marks):
    rows = [tokenize_row(tokenizer, row) for row in make_rows(6)]
    width = max(len(row.input_ids) for row in rows) + 3
    for row in rows:
        ids, labels = torch.tensor(row.input_ids), torch.tensor(row.labels)
        plain = find_segments(ids[None], labels[None], marks)[0]
        gap = width - len(ids)
        pad = tokenizer.pad_token_id
        for left, right in ((gap, 0), (0, gap)):
            padded = find_segments(
                torch.nn.functional.pad(ids, (left, right), value=pad)[None],
                torch.nn.functional.pad(labels, (left, right), value=IGNORED)[None],
                marks,
            )[0]
            assert torch.equal(padded[left : left + len(ids)], plain)
            assert padded.count_nonzero() == plain.count_nonzero()


def test_packed_and_padded_batches_have_the_same_segments(tokenizer, marks):
    rows = [vars(tokenize_row(tokenizer, row)) for row in make_rows(7)]
    pad = tokenizer.pad_token_id
    padded = SegmentCollator(pad_token_id=pad, marks=marks)(rows)
    packed = SegmentCollator(pad_token_id=pad, padding_free=True, marks=marks)(rows)
    flat = torch.cat(
        [line[: len(row["input_ids"])] for line, row in zip(padded["segments"], rows, strict=True)]
    )
    assert torch.equal(packed["segments"][0], flat)
    assert {0, 1, 2} == set(flat.tolist())


def test_segments_are_where_the_labels_are(tokenizer, marks):
    batch = SegmentCollator(pad_token_id=tokenizer.pad_token_id, marks=marks)(
        [vars(tokenize_row(tokenizer, row)) for row in make_rows(7)]
    )
    assert torch.equal(batch["segments"] != 0, batch["labels"] != IGNORED)


def test_a_template_without_reasoning_is_refused(tiny_model):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(TrainingError, match="between <think> and </think>"):
        find_think_marks(tokenizer)


def test_a_template_that_rewrites_the_prompt_is_refused(tiny_model):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = (
        "{{ messages | length }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    )
    with pytest.raises(TrainingError, match="renders the prompt otherwise"):
        tokenize_row(tokenizer, make_row(2, call=False))
