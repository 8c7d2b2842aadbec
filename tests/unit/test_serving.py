import contextlib
import importlib.util
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import types
import urllib.request
from pathlib import Path

import pytest

from funreason_agents.errors import ConfigurationError, TrainingError
from funreason_agents.training.serving import HOUSE_TEMPLATE, find_port, serve, serve_command

FAKE = Path(__file__).parents[1] / "servers" / "fake_vllm.py"
PLUGIN = HOUSE_TEMPLATE.with_name("think_parser.py")


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "tuned"
    path.mkdir()
    (path / "config.json").write_text("{}")
    return path


@pytest.fixture
def fake_vllm(tmp_path, monkeypatch):
    """Make `python -m vllm.entrypoints.openai.api_server` start the stand-in."""
    package = tmp_path / "site" / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    for each in (package, package.parent, package.parent.parent):
        (each / "__init__.py").touch()
    shutil.copy(FAKE, package / "api_server.py")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    return lambda behaviour: monkeypatch.setenv("FAKE_VLLM", behaviour)


def options_of(command):
    return dict(itertools.pairwise(command))


def ask(server):
    with urllib.request.urlopen(server.base_url.removesuffix("/v1"), timeout=5) as answer:
        return json.load(answer)


def test_full_weights_get_the_house_template_and_its_parsers(weights):
    command = serve_command(weights, port=81, cpu=True, python="/py", extra=["--seed", "3"])
    assert command[:3] == ["/py", "-m", "vllm.entrypoints.openai.api_server"]
    options = options_of(command)
    assert (options["--model"], options["--served-model-name"]) == (str(weights), "tuned")
    assert options["--chat-template"] == str(HOUSE_TEMPLATE)
    assert options["--tool-call-parser"] == "hermes"
    assert options["--reasoning-parser"] == "funreason_think"
    assert options["--reasoning-parser-plugin"] == str(PLUGIN)
    assert PLUGIN.exists()
    assert {"--enable-auto-tool-choice", "--enforce-eager"} <= set(command)
    assert (options["--port"], options["--dtype"], options["--seed"]) == ("81", "float32", "3")


def test_template_of_the_weights_is_used_if_it_writes_calls(weights):
    own = weights / "chat_template.jinja"
    own.write_text("{{ messages[0].content }}")
    assert options_of(serve_command(weights))["--chat-template"] == str(HOUSE_TEMPLATE)
    own.write_text("{{ m.tool_calls }}<tool_call>")
    options = options_of(serve_command(weights))
    assert options["--chat-template"] == str(own)
    assert "--reasoning-parser" not in options


PARSERS = ("tool_parser", "reasoning_parser")
CALLING = "{{ m.tool_calls }}<tool_call>"


@pytest.mark.parametrize(
    "template",
    [
        CALLING,
        [{"name": "default", "template": CALLING}],
        [{"name": "default", "template": "words"}, {"name": "tool_use", "template": CALLING}],
    ],
)
def test_template_in_the_configuration_of_the_tokenizer_is_left_to_vllm(weights, template):
    (weights / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    command = serve_command(weights)
    assert "--chat-template" not in command
    assert "--reasoning-parser" not in command
    assert options_of(command)["--tool-call-parser"] == "hermes"
    # A file beside it goes before it, as in transformers.
    (weights / "chat_template.jinja").write_text(CALLING + "<think>")
    options = options_of(serve_command(weights))
    assert options["--chat-template"] == str(weights / "chat_template.jinja")
    assert options["--reasoning-parser"] == "funreason_think"


@pytest.mark.parametrize("config", [{}, {"chat_template": None}, {"chat_template": "words"}])
def test_house_template_stands_in_where_the_tokenizer_has_none_for_calls(weights, config):
    (weights / "tokenizer_config.json").write_text(json.dumps(config))
    assert options_of(serve_command(weights))["--chat-template"] == str(HOUSE_TEMPLATE)


def test_template_that_cannot_be_read_is_told(weights):
    (weights / "tokenizer_config.json").write_text("[1")
    with pytest.raises(ConfigurationError, match=r"tokenizer_config\.json.*--template"):
        serve_command(weights)
    given = weights.parent / "mine.jinja"
    with pytest.raises(ConfigurationError, match="cannot read the chat template"):
        serve_command(weights, template=given)
    given.write_text(CALLING)
    assert options_of(serve_command(weights, template=given))["--chat-template"] == str(given)


def test_adapter_without_a_tokenizer_has_the_template_of_its_base(weights):
    base = weights.parent / "base"
    base.mkdir()
    (base / "tokenizer_config.json").write_text(json.dumps({"chat_template": CALLING}))
    adapter = {"base_model_name_or_path": str(base), "r": 8}
    (weights / "adapter_config.json").write_text(json.dumps(adapter))
    assert "--chat-template" not in serve_command(weights)
    (weights / "tokenizer_config.json").write_text("{}")  # now that one is used
    assert options_of(serve_command(weights))["--chat-template"] == str(HOUSE_TEMPLATE)


def test_calls_of_unknown_form_need_a_parser_by_name(weights):
    (weights / "chat_template.jinja").write_text("{{ m.tool_calls }}<|python_tag|>")
    with pytest.raises(ConfigurationError, match="--tool-parser"):
        serve_command(weights)
    named = options_of(serve_command(weights, tool_parser="llama3_json", reasoning_parser="qwen3"))
    assert (named["--tool-call-parser"], named["--reasoning-parser"]) == ("llama3_json", "qwen3")


def test_adapter_is_served_on_its_base_under_the_name_that_was_asked_for(weights):
    (weights / "config.json").unlink()
    adapter = {"base_model_name_or_path": "some/base", "r": 12}
    (weights / "adapter_config.json").write_text(json.dumps(adapter))
    (weights / "tokenizer_config.json").write_text("{}")
    options = options_of(serve_command(weights, served_name="mine"))
    assert (options["--model"], options["--tokenizer"]) == ("some/base", str(weights))
    assert options["--lora-modules"] == f"mine={weights}"
    assert (options["--served-model-name"], options["--max-lora-rank"]) == ("mine-base", "16")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"base_model_name_or_path": null, "r": 8}'])
def test_damaged_adapter_is_told(weights, text):
    (weights / "adapter_config.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"adapter_config\.json"):
        serve_command(weights)


def test_run_is_served_by_its_name(weights, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    weights.rename(run / "weights")
    command = serve_command(run)
    assert command[command.index("--model") + 1] == str(run / "weights")
    assert command[command.index("--served-model-name") + 1] == "run"


def test_directory_without_weights_is_told(tmp_path):
    with pytest.raises(ConfigurationError, match="neither weights"):
        serve_command(tmp_path)


def test_server_answers_and_is_stopped_politely(weights, fake_vllm):
    with serve(weights, port=0, cpu=True) as server:
        seen = ask(server)
        assert server.model == "openai:tuned"
        assert server.base_url.startswith("http://127.0.0.1:")
    assert str(weights) in seen["argv"]
    assert (seen["env"]["HF_HUB_OFFLINE"], seen["env"]["VLLM_CPU_KVCACHE_SPACE"]) == ("1", "2")
    assert server.process.returncode == 0
    assert "asked to stop" in (weights / "serve.log").read_text()


def test_server_is_stopped_when_its_user_fails(weights, fake_vllm):
    with pytest.raises(ZeroDivisionError), serve(weights, port=0) as server:
        1 / 0  # noqa: B018
    assert server.process.returncode == 0


def test_end_of_the_log_says_why_the_server_died(weights, fake_vllm, tmp_path):
    fake_vllm("dies")
    log = tmp_path / "logs" / "vllm.log"
    with pytest.raises(TrainingError, match="status 1") as told, serve(weights, port=0, log=log):
        pass
    assert "no memory left for weights" in str(told.value)
    assert str(log) in str(told.value)


def test_server_that_does_not_come_up_is_killed(weights, fake_vllm):
    fake_vllm("hangs")
    with (
        pytest.raises(TrainingError, match=r"did not answer within 1.5 s"),
        serve(weights, port=0, start_seconds=1.5),
    ):
        pass


def test_server_that_dies_later_is_told(weights, fake_vllm):
    fake_vllm("dies later")
    with (
        pytest.raises(TrainingError, match="ended with status 7"),
        serve(weights, port=0) as server,
    ):
        server.wait()


def test_taken_port_is_told_before_anything_starts(weights, fake_vllm):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port}"), serve(weights, port=port):
            pass
    assert not (weights / "serve.log").exists()


def test_python_without_vllm_is_told(weights, tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if importlib.util.find_spec("vllm") is None:
        with pytest.raises(ConfigurationError, match="has no vLLM"), serve(weights, port=0):
            pass
    missing = tmp_path / "python"
    with (
        pytest.raises(ConfigurationError, match="--python"),
        serve(weights, port=0, python=missing),
    ):
        pass


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_command_passes_signals_on(weights, fake_vllm, how):
    script = (
        "import sys, pathlib\nfrom funreason_agents.cli.serve import serve_weights\n"
        "try:\n    serve_weights(pathlib.Path(sys.argv[1]), port=0)\n"
        "except KeyboardInterrupt:\n    sys.exit(130)"
    )
    command = [sys.executable, "-c", script, str(weights)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        lines = []
        while not lines or "ChatOpenAI" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], lines
        process.send_signal(how)
        assert process.wait(30) == 130
    assert "asked to stop" in (weights / "serve.log").read_text()
    assert "--model openai:tuned --base-url http://127.0.0.1:" in "".join(lines)


def test_command_takes_the_parsers_that_its_error_asks_for(
    funreason, weights, fake_vllm, monkeypatch
):
    (weights / "chat_template.jinja").write_text("{{ m.tool_calls }}<|python_tag|>")
    status, said = funreason("serve", weights, "--port", find_port("127.0.0.1", 0))
    assert (status, "--tool-parser" in said) == (2, True)

    @contextlib.contextmanager
    def note(weights, **options):
        started.append(serve_command(weights, **{k: options[k] for k in PARSERS}))
        yield types.SimpleNamespace(model="openai:m", base_url="", log="", wait=lambda: None)

    started = []
    monkeypatch.setattr("funreason_agents.cli.serve.serve", note)
    named = ("--tool-parser", "llama3_json", "--reasoning-parser", "qwen3")
    assert funreason("serve", weights, *named)[0] == 0
    options = options_of(started[0])
    assert (options["--tool-call-parser"], options["--reasoning-parser"]) == (named[1], named[3])


@pytest.fixture
def think_parser(monkeypatch):
    """Load the plug-in with stand-ins for the three names that it takes from vLLM."""
    registered = {}

    def register(name):
        return lambda cls: registered.setdefault(name, cls)

    stubs = {
        "vllm.entrypoints.generate.base.protocol": {"DeltaMessage": types.SimpleNamespace},
        "vllm.reasoning": {
            "ReasoningParser": type(
                "ReasoningParser",
                (),
                {"__init__": lambda self, t: setattr(self, "model_tokenizer", t)},
            ),
            "ReasoningParserManager": types.SimpleNamespace(register_module=register),
        },
    }
    for name, content in stubs.items():
        monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(**content))
    spec = importlib.util.spec_from_file_location("think_parser", PLUGIN)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))

    class Letters:
        @staticmethod
        def decode(ids, skip_special_tokens):
            return "".join(map(chr, ids))

    return registered["funreason_think"](Letters())


ANSWERS = [
    ("<think>\nHm </thin>.\n</think>\n\n<tool_call>", "Hm </thin>.", "<tool_call>"),
    ("<thinking> no, words", None, "<thinking> no, words"),
    ("Words", None, "Words"),
    ("<tool_call>\n{}", None, "<tool_call>\n{}"),
    ("<think>\nnever closed", "never closed", None),
    ("<think>a</think>b", "a", "b"),
]


@pytest.mark.parametrize(("text", "reasoning", "words"), ANSWERS)
def test_reasoning_is_read_the_same_whole_and_in_pieces(think_parser, text, reasoning, words):
    assert think_parser.extract_reasoning(text, None) == (reasoning, words)
    for size in (1, 2, 5):
        seen, said, so_far = "", "", ""
        for start in range(0, len(text), size):
            before, so_far = so_far, text[: start + size]
            delta = think_parser.extract_reasoning_streaming(before, so_far, "", [], [], [])
            if delta is not None:
                seen, said = seen + (delta.reasoning or ""), said + (delta.content or "")
            prompt = "<|im_start|>user\n</think><|im_end|>\n<|im_start|>assistant\n"
            assert think_parser.is_reasoning_end([*map(ord, prompt + so_far)]) == bool(
                said or (words and so_far.endswith(("</think>", "</think>\n", "</think>\n\n")))
            )
        assert (seen or None, said or None) == (reasoning, words)


def test_think_block_that_the_prompt_opened_is_reasoning(think_parser):
    assert think_parser.extract_reasoning("a\n</think>\n\nb", None) == ("a", "b")
    think_parser.adjust_initial_state_from_prompt([*map(ord, "assistant\n<think>\n")])
    delta = think_parser.extract_reasoning_streaming("", "a", "a", [], [], [])
    assert (delta.reasoning, delta.content) == ("a", None)
