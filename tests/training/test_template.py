import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("trl")
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from trl.chat_template_utils import (
    get_training_chat_template,
    is_chat_template_prefix_preserving,
    is_chat_template_stop_token_trained,
    parse_response,
)

from funreason_agents.errors import TrainingError
from funreason_agents.training.answers import parse_answer
from funreason_agents.training.template import (
    HOUSE_TEMPLATE,
    check_template,
    find_losses,
    prepare_tokenizer,
    render,
)

HOUSE = HOUSE_TEMPLATE.read_text(encoding="utf-8")
SNAPSHOT = Path(__file__).parent / "snapshots" / "conversation.txt"
PLAIN = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
FIND = {
    "name": "find_book",
    "description": "Find a book by its\n  title. Returns: ISBN.\n\nArgs:\n    title: Its title.",
    "parameters": {
        "type": "object",
        "$defs": {"Place": {"type": "object", "properties": {"city": {"type": "string"}}}},
        "properties": {
            "title": {"type": "string", "description": "Title of the book."},
            "order": {"type": "string", "enum": ["price", "title"], "default": "title"},
            "items": {"type": "array", "items": {"type": ["integer", "string"]}},
            "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
            "place": {"$ref": "#/$defs/Place"},
            "of_another_row": None,
        },
        "required": ["title"],
    },
}
TOOLS = [
    {"type": "function", "function": FIND},
    {"type": "function", "function": {"name": "list_cities", "description": "", "parameters": {}}},
]


def call(name, **arguments):
    return {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}


CONVERSATION = [
    {"role": "system", "content": "You serve a bookshop."},
    {"role": "user", "content": "Is 'Salt & <Ledger>' in stock anywhere?"},
    {
        "role": "assistant",
        "content": "",
        "reasoning_content": "First the book.\n\nThen the cities.",
        "tool_calls": [call("find_book", title="Salt & <Ledger>", items=[1]), call("list_cities")],
    },
    {"role": "tool", "name": "find_book", "content": '{"isbn": "978-1"}'},
    {"role": "tool", "name": "list_cities", "content": {"cities": ["Łódź"]}},
    {"role": "assistant", "content": "Yes, in Łódź."},
    {"role": "user", "content": "Repaint my bike."},
    {"role": "assistant", "content": "No tool does that.", "reasoning_content": "None fits."},
]


@pytest.fixture(scope="module")
def plain_model(tmp_path_factory):
    """Return a directory with a byte-level BPE tokenizer as SmolLM2 has, with a plain template."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [json.dumps(CONVERSATION), "</think> <think> think </ > tool_call\n\n" * 50]
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<|im_start|>", eos_token="<|im_end|>",
        pad_token="<|im_end|>", unk_token="<|endoftext|>",
    )  # fmt: skip
    tokenizer.chat_template = PLAIN
    path = tmp_path_factory.mktemp("model")
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def tokenizer(plain_model):
    return prepare_tokenizer(plain_model)


def text_of(tokenizer, messages, tools=TOOLS, **options):
    return tokenizer.decode(render(tokenizer, messages, tools, **options))


def test_conversation_is_rendered_as_the_snapshot_says(tokenizer):
    without_tools = [message for message in CONVERSATION if message["role"] == "user"]
    shown = text_of(tokenizer, CONVERSATION, add_generation_prompt=True)
    shown += "\n--- without tools\n"
    shown += text_of(tokenizer, without_tools, tools=[], add_generation_prompt=True)
    assert shown == SNAPSHOT.read_text(encoding="utf-8")


WORDS = st.text(st.sampled_from('ab<>/{}"\n é'), max_size=12)
ANSWERS = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": WORDS},
    optional={
        "reasoning_content": WORDS,
        "tool_calls": st.lists(st.builds(lambda v: call("f", v=v), WORDS), max_size=2),
    },
)
OTHERS = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "tool", "system"]), "content": WORDS}
)


@settings(max_examples=60, deadline=None, database=None)
@given(messages=st.lists(ANSWERS | OTHERS, min_size=1, max_size=6), tools=st.booleans())
def test_what_came_before_never_changes(tokenizer, messages, tools):
    offered = TOOLS if tools else []
    whole = render(tokenizer, messages, offered)
    for number in range(1, len(messages) + 1):
        start = render(tokenizer, messages[:number], offered)
        assert whole[: len(start)] == start
        if number < len(messages) and messages[number]["role"] == "assistant":
            opened = render(tokenizer, messages[:number], offered, add_generation_prompt=True)
            assert whole[: len(opened)] == opened


@settings(max_examples=60, deadline=None, database=None)
@given(words=WORDS, reasoning=WORDS, values=st.lists(WORDS, max_size=3))
def test_what_is_rendered_is_read_back(tokenizer, words, reasoning, values):
    calls = [call("f", v=value) for value in values]
    answer = {"role": "assistant", "content": words, "reasoning_content": reasoning}
    query = [{"role": "user", "content": "q"}]
    prompt = render(tokenizer, query, TOOLS, add_generation_prompt=True)
    whole = render(tokenizer, [*query, answer | {"tool_calls": calls}], TOOLS)
    read = parse_answer(tokenizer.decode(whole[len(prompt) :]))
    assert read.well_formed == bool(words.strip() or calls)
    if read.well_formed:
        assert (read.reasoning or "", read.content) == (reasoning.strip(), words.strip())
        assert read.tool_calls == tuple(("f", {"v": value}) for value in values)


def test_close_of_reasoning_has_the_same_tokens_whatever_is_around_it(tokenizer):
    close = tokenizer.encode("</think>", add_special_tokens=False)
    for reasoning in ("ends in words", "in a mark >", "in </", "1", "é", '{"a": 1}'):
        for rest in (
            {"content": "Words"},
            {"content": "<b>"},
            {"content": "", "tool_calls": [call("f")]},
        ):
            answer = {"role": "assistant", "reasoning_content": reasoning, **rest}
            ids = render(tokenizer, [{"role": "user", "content": "q"}, answer], [])
            places = [i for i in range(len(ids)) if ids[i : i + len(close)] == close]
            assert len(places) == 1, (reasoning, rest)
            before, after = ids[: places[0]], ids[places[0] + len(close) :]
            assert tokenizer.decode(before).endswith(f"<think>\n{reasoning}\n")
            assert tokenizer.decode(after).startswith("\n\n")


def test_exactly_the_answers_with_their_end_are_marked(tokenizer):
    refused = [*CONVERSATION, {"role": "assistant", "content": "wrong", "trainable": False}]
    output = tokenizer.apply_chat_template(
        refused, tools=TOOLS, return_dict=True, return_assistant_tokens_mask=True
    )
    marked, runs = [], []
    for token, mark in zip(output["input_ids"], output["assistant_masks"], strict=True):
        if mark:
            marked.append(token)
        elif marked:
            runs.append(tokenizer.decode(marked))
            marked = []
    assert len(runs) == 3 and not marked
    assert runs[0].startswith("<think>\nFirst the book.") and runs[0].endswith(
        "</tool_call><|im_end|>"
    )
    assert runs[1:] == [
        "Yes, in Łódź.<|im_end|>",
        "<think>\nNone fits.\n</think>\n\nNo tool does that.<|im_end|>",
    ]


def test_arguments_as_text_are_rendered_as_the_object(tokenizer):
    as_text = json.loads(json.dumps(CONVERSATION))
    for each in as_text[2]["tool_calls"]:
        each["function"]["arguments"] = json.dumps(each["function"]["arguments"])
    assert render(tokenizer, as_text, TOOLS) == render(tokenizer, CONVERSATION, TOOLS)


def test_content_in_parts_is_rendered_as_its_text(tokenizer):
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    given_parts = render(tokenizer, [{"role": "user", "content": parts}], [])
    assert given_parts == render(tokenizer, [{"role": "user", "content": "ab"}], [])


def test_house_template_is_what_trl_wants(tokenizer):
    assert get_training_chat_template(tokenizer) is None
    assert is_chat_template_prefix_preserving(tokenizer)
    assert is_chat_template_stop_token_trained(tokenizer)
    prompt = render(tokenizer, CONVERSATION[:2], TOOLS, add_generation_prompt=True)
    written = render(tokenizer, CONVERSATION[:3], TOOLS)[len(prompt) :]
    parsed = parse_response(tokenizer, written, prefix=prompt)
    assert parsed["reasoning_content"] == CONVERSATION[2]["reasoning_content"]
    calls = [each["function"] for each in CONVERSATION[2]["tool_calls"]]
    assert [each["function"] for each in parsed["tool_calls"]] == calls


def test_vocabulary_stays_and_padding_ends_no_turn(plain_model, tokenizer, tmp_path):
    assert len(tokenizer) == len(AutoTokenizer.from_pretrained(plain_model))
    assert (tokenizer.pad_token, tokenizer.eos_token) == ("<|endoftext|>", "<|im_end|>")
    tokenizer.save_pretrained(tmp_path)
    again = prepare_tokenizer(tmp_path)
    assert again.chat_template == HOUSE
    assert again.response_template == tokenizer.response_template
    assert render(again, CONVERSATION, TOOLS) == render(tokenizer, CONVERSATION, TOOLS)


def save_with(plain_model, path, template):
    tokenizer = AutoTokenizer.from_pretrained(plain_model)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(path)
    return tokenizer


def test_fit_template_of_the_model_is_kept(plain_model, tmp_path):
    own = HOUSE + "{# the model's own #}"
    save_with(plain_model, tmp_path, own)
    assert prepare_tokenizer(tmp_path).chat_template == own


@pytest.mark.parametrize(("family", "kept"), [("qwen3", True), ("qwen2_5", False)])
def test_known_template_is_kept_if_trl_can_make_it_fit(plain_model, tmp_path, family, kept):
    import trl

    save_with(
        plain_model,
        tmp_path,
        (Path(trl.__file__).parent / f"chat_templates/{family}.jinja").read_text(),
    )
    prepared = prepare_tokenizer(tmp_path)
    check_template(prepared, reasoning=True)
    assert (prepared.chat_template != HOUSE) == kept
    assert prepared.response_template is not None


RESULT = '<tool_response>\\n" ~ text(message.content)'


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        (HOUSE, PLAIN, "loses the names of tool calls"),
        (RESULT, '<tool_response>\\n"', "loses tool results"),
        ("listing(tools) if", "'' if", "loses the offered tools"),
        ("message.reasoning_content or message.reasoning", "''", "loses reasoning"),
        ("message.tool_calls or []", "[]", "loses the values of tool calls"),
        ("{%- set content =", "{{ messages | length }}{%- set content =", "prefix preserving"),
        ('"<|im_start|>assistant\\n" if add', '"<|im_start|>" if add', None),
        ('"<|im_start|>assistant\\n" if add', '"<|im_start|>bot\\n" if add', "prefix preserving"),
        (HOUSE, "{{ raise_exception('no tools here') }}", "no tools here"),
    ],
)
def test_template_that_loses_something_is_refused(plain_model, tmp_path, before, after, lost):
    assert before in HOUSE
    changed = save_with(plain_model, tmp_path, HOUSE.replace(before, after))
    if lost is None:
        check_template(changed, reasoning=True)
        return
    with pytest.raises(TrainingError, match=lost):
        check_template(changed, reasoning=True)


def test_given_template_is_taken_as_it_is(plain_model, tmp_path):
    (tmp_path / "own.jinja").write_text(PLAIN)
    assert prepare_tokenizer(plain_model, str(tmp_path / "own.jinja")).chat_template == PLAIN
    with pytest.raises(TrainingError, match=r"missing\.jinja"):
        prepare_tokenizer(plain_model, str(tmp_path / "missing.jinja"))


def test_model_without_the_tokens_is_told(plain_model, tmp_path):
    bpe = Tokenizer(models.BPE())
    bpe.train_from_iterator(
        ["abc"], trainers.BpeTrainer(special_tokens=["</s>"], show_progress=False)
    )
    PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="</s>").save_pretrained(tmp_path)
    with pytest.raises(TrainingError, match=r"lacks <\|im_start\|> or"):
        prepare_tokenizer(tmp_path)
    with pytest.raises(TrainingError, match="load the tokenizer"):
        prepare_tokenizer(tmp_path / "nothing")


def test_house_template_loses_nothing(tokenizer):
    assert find_losses(tokenizer, reasoning=True) == []
