import pytest
from book_rows import make_row, make_rows
from transformers import AutoTokenizer

from funreason_agents.errors import TrainingError
from funreason_agents.training import check_rows, fine_tune, show_loss_mask
from funreason_agents.training.checks import prepare_rows
from funreason_agents.training.config import FineTuneConfig
from funreason_agents.training.rows import to_step_rows


@pytest.fixture
def config(tmp_path):
    return lambda **options: FineTuneConfig(model="tiny", output_dir=tmp_path, **options)


def test_what_is_in_the_rows_is_counted(tokenizer, config):
    report = check_rows(make_rows(10), tokenizer, config())
    assert (report.rows, report.kept, report.too_long) == (10, 10, 0)
    assert (report.without_reasoning, report.without_calls) == (2, 3)
    assert all(count > 0 for count in report.tokens.values())


def test_long_rows_are_dropped_and_counted_or_refused(tokenizer, config):
    rows = make_rows(8)
    rows[3]["prompt"][0]["content"] *= 40
    longest = check_rows(rows, tokenizer, config(max_length=10_000)).longest
    report = check_rows(rows, tokenizer, config(max_length=longest - 1))
    assert (report.kept, report.too_long, report.longest) == (7, 1, longest)
    assert check_rows(rows, tokenizer, config(max_length=longest)).too_long == 0
    with pytest.raises(TrainingError, match=r"1 of 8 rows have more than max_length=\d+ tokens"):
        check_rows(rows, tokenizer, config(max_length=longest - 1, long_rows="refuse"))


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        ([], {}, "no row to train on"),
        (make_rows(1), {}, "only one row is left"),
        (make_rows(4), {"max_length": 8}, "4 of 4 rows have more than max_length=8"),
    ],
)
def test_unfit_data(tokenizer, config, rows, options, words):
    with pytest.raises(TrainingError, match=words):
        check_rows(rows, tokenizer, config(**options))


def test_rows_whose_messages_may_not_be_trained_on(tokenizer, config):
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "y", "trainable": False},
    ]
    with pytest.raises(TrainingError, match="no assistant message that may be trained on"):
        check_rows([{"messages": messages}], tokenizer, config())


def test_heldout_rows_are_found_whatever_their_call_ids(tokenizer, config):
    rows, heldout = make_rows(6), [make_row(4), make_row(11)]
    heldout[0]["completion"][0]["tool_calls"] = [
        {**call, "id": "other"} for call in heldout[0]["completion"][0].get("tool_calls", ())
    ]
    with pytest.raises(TrainingError, match="1 of 6 rows are held out too, row 5 first"):
        check_rows(rows, tokenizer, config(), heldout)
    report = check_rows(rows, tokenizer, config(heldout_duplicates="drop"), heldout)
    assert (report.kept, report.heldout_duplicates) == (5, 1)
    with pytest.raises(TrainingError, match="held out"):
        check_rows(rows, tokenizer, config(heldout_duplicates="drop"), rows)


def test_held_out_rows_that_are_too_long_are_counted_or_refused(tiny_model, tokenizer, tmp_path):
    long = make_row(11)
    long["prompt"][0]["content"] += " and so on" * 200
    config = FineTuneConfig(
        model=str(tiny_model), output_dir=tmp_path, max_steps=1, max_length=900, dtype="float32"
    )
    with pytest.raises(TrainingError, match="each of the 1 held-out rows has more than 900"):
        check_rows(make_rows(6), tokenizer, config, [long])
    heldout = fine_tune(make_rows(6), config, heldout=[make_row(12), long]).metrics["heldout"]
    assert (heldout["left_out"], heldout["before"]["rows"]) == (1, 1)


def test_what_the_model_cannot_read_is_said_to_be_that(tokenizer, config):
    rows = to_step_rows(make_rows(6))
    with pytest.raises(TrainingError, match=r"more than the 16 tokens .* can read.*\. Shorten"):
        prepare_rows(rows, tokenizer, config(), context=16)


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_a_template_that_loses_tool_calls_is_refused(tiny_model, config):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = CHATML
    with pytest.raises(TrainingError, match="tool calls"):
        check_rows(make_rows(4), tokenizer, config())


def test_a_template_that_loses_tool_results_is_refused(tiny_model, config):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = (
        "{% for m in messages if m['role'] != 'tool' %}<|im_start|>{{ m['role'] }}\n"
        "{{ tools | tojson }}{{ m['reasoning_content'] }}{{ m['content'] }}"
        "{{ m['tool_calls'] | tojson if m['tool_calls'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    with pytest.raises(TrainingError, match="results"):
        check_rows(make_rows(4), tokenizer, config())


def test_the_loss_mask_can_be_seen(tiny_model):
    shown = show_loss_mask(make_rows(3), tiny_model, 1)
    assert "\x1b[36m<think>\nThey want Emma." in shown
    assert "</think>\x1b[0m\x1b[32m\n\n<tool_call>" in shown
    assert "\x1b[90m<|im_start|>" in shown
    with pytest.raises(TrainingError, match="no row 3: the data have 3"):
        show_loss_mask(make_rows(3), tiny_model, 3)
