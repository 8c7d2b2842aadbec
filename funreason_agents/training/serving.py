"""vLLM on tuned weights, with the chat template and the parsers that fit them.

vLLM pins its own torch, so it usually lives in another environment, and is started there as a
process; nothing of it is imported here.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from funreason_agents.errors import ConfigurationError, TrainingError
from funreason_agents.training.config import WEIGHTS

TEMPLATES = Path(__file__).with_name("templates")
HOUSE_TEMPLATE = TEMPLATES / "tools.jinja"
TOKENIZER = "tokenizer_config.json"
"""Where older weights keep their chat template."""
MODULE = "vllm.entrypoints.openai.api_server"
START_SECONDS = 900.0
STOP_SECONDS = 30.0
LOG_LINES = 15
"""How many of the last lines of the log an error shows."""


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    model: str
    """For our command line: `--model`."""
    base_url: str
    """For our command line: `--base-url`; for `ChatOpenAI`: `base_url`."""
    process: subprocess.Popen[bytes]
    log: Path

    def wait(self) -> None:
        """Wait until the server ends.

        Raises:
            TrainingError: it ended by itself, with an error.
        """
        if (status := self.process.wait()) != 0:
            raise _ended(self.log, f"ended with status {status}")


def find_weights(place: Path) -> Path:
    """Return the directory of the weights: that of a run, or `place` itself."""
    return place / WEIGHTS if (place / WEIGHTS / "config.json").exists() else place


def find_template(weights: Path) -> Path:
    """Return the file of the chat template to serve with.

    It is the weights' own if that writes tool calls, else the house template. An adapter without
    one has that of its base model, if the base model is a directory.

    Raises:
        ConfigurationError: it cannot be read.
    """
    places = [weights]
    if (weights / "adapter_config.json").exists() and not (weights / TOKENIZER).exists():
        adapter = _read_adapter(weights / "adapter_config.json")
        places.append(Path(adapter["base_model_name_or_path"]))
    files = [place / name for place in places for name in ("chat_template.jinja", TOKENIZER)]
    own = next((file for file in files if file.is_file() and read_template(file)), None)
    return own if own and "tool_calls" in read_template(own) else HOUSE_TEMPLATE


def read_template(file: Path) -> str:
    """Return the text of a chat template; of a tokenizer's configuration, "" if it has none.

    Raises:
        ConfigurationError: it cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8")
        if file.name != TOKENIZER:
            return text
        templates = dict(json.loads(text)).get("chat_template") or ""
        if isinstance(templates, list):  # by name; where tools are offered, that for tools is used
            by_name = {each["name"]: each["template"] for each in templates}
            templates = by_name.get("tool_use") or by_name.get("default")
        return str(templates or "")
    except (OSError, ValueError, TypeError, KeyError) as exc:
        msg = f"cannot read the chat template {str(file)!r}: {exc}; give another with --template"
        raise ConfigurationError(msg) from exc


def serve_command(
    weights: Path,
    *,
    port: int = 8000,
    host: str = "127.0.0.1",
    served_name: str | None = None,
    python: str | Path | None = None,
    cpu: bool = False,
    template: Path | None = None,
    tool_parser: str | None = None,
    reasoning_parser: str | None = None,
    extra: Sequence[str] = (),
) -> list[str]:
    """Return the command line that serves `weights`.

    Args:
        weights: Directory of a training run, of full weights, or of a LoRA adapter (its base model
            is served too).
        port: Where to listen.
        host: Address to listen on.
        served_name: What requests call the model; by default the name of the directory.
        python: The Python that has vLLM; by default this one.
        cpu: Settings that work on any CPU: float32, nothing compiled.
        template: Chat template; by default that of the weights, or ours if it has no tool calls.
        tool_parser: vLLM's parser for tool calls; by default `hermes`, if the template writes so.
        reasoning_parser: vLLM's parser for reasoning; by default ours, if there are think tags.
        extra: Further options of vLLM.

    Raises:
        ConfigurationError: `weights` holds no model, or no parser is known for its template.
    """
    name, weights = served_name or weights.resolve().name, find_weights(weights)
    template = template or find_template(weights)
    command = [str(python or sys.executable), "-m", MODULE, *_model_options(weights, name)]
    command += ["--host", host, "--port", str(port), "--enable-auto-tool-choice"]
    if template.name != TOKENIZER:  # vLLM finds that one by itself
        command += ["--chat-template", str(template)]
    command += _parser_options(template, tool_parser, reasoning_parser)
    if cpu:
        # Some virtual machines announce instructions for bfloat16 that they do not have.
        command += ["--dtype", "float32", "--enforce-eager"]
    return [*command, *extra]


def _model_options(weights: Path, name: str) -> list[str]:
    adapter = weights / "adapter_config.json"
    if not adapter.exists():
        if not (weights / "config.json").exists():
            msg = (
                f"{str(weights)!r} holds neither weights (config.json) nor an adapter "
                "(adapter_config.json); give the directory that training wrote"
            )
            raise ConfigurationError(msg)
        return ["--model", str(weights), "--served-model-name", name]
    config = _read_adapter(adapter)
    options = ["--model", str(config["base_model_name_or_path"])]
    options += ["--served-model-name", f"{name}-base"]
    if (weights / TOKENIZER).exists():
        options += ["--tokenizer", str(weights)]
    options += ["--enable-lora", "--lora-modules", f"{name}={weights}"]
    return [*options, "--max-lora-rank", str(_round_rank(config["r"]))]


def _read_adapter(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if config["base_model_name_or_path"] and int(config["r"]) > 0:
            return dict(config)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        msg = f"cannot read the adapter {str(path)!r}: {type(exc).__name__}: {exc}"
        raise ConfigurationError(msg) from exc
    msg = f"{str(path)!r} names no base model; give the merged weights instead"
    raise ConfigurationError(msg)


def _round_rank(rank: int) -> int:
    """Return the least of the ranks that vLLM knows which is enough."""
    return next((known for known in (8, 16, 32, 64, 128, 256, 320, 512) if known >= rank), rank)


def _parser_options(template: Path, tools: str | None, reasoning: str | None) -> list[str]:
    text = read_template(template)
    if tools is None and ("<tool_call>" not in text or "<function=" in text):
        msg = (
            f"the chat template {str(template)!r} writes tool calls in a form that is not known "
            "here; name vLLM's parser for it with --tool-parser"
        )
        raise ConfigurationError(msg)
    options = ["--tool-call-parser", tools or "hermes"]
    if reasoning is not None:
        return [*options, "--reasoning-parser", reasoning]
    if "<think>" not in text:
        return options
    plugin = str(TEMPLATES / "think_parser.py")
    return [*options, "--reasoning-parser-plugin", plugin, "--reasoning-parser", "funreason_think"]


def to_environment(weights: Path, *, cpu: bool) -> dict[str, str]:
    """Return the environment variables of the server: nothing is reported, or fetched for files."""
    settings = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if not (weights / "adapter_config.json").exists():
        settings["HF_HUB_OFFLINE"] = "1"  # a base model may have to be fetched
    if cpu:
        settings["VLLM_CPU_KVCACHE_SPACE"] = "2"  # GiB
    return {**settings, **os.environ}


@contextmanager
def serve(
    weights: Path,
    *,
    port: int = 8000,
    host: str = "127.0.0.1",
    served_name: str | None = None,
    python: str | Path | None = None,
    cpu: bool = False,
    log: Path | None = None,
    start_seconds: float = START_SECONDS,
    **options: Any,
) -> Iterator[Server]:
    """Start vLLM, wait until it answers, and stop it at the end, whatever happens.

    Args:
        weights: See `serve_command`, as for all that is not named here.
        port: Where to listen; 0 chooses a free one.
        host: Address to listen on.
        served_name: What requests call the model.
        python: The Python that has vLLM.
        cpu: Settings for the CPU.
        log: What the server prints goes here; by default to `serve.log` in `weights`.
        start_seconds: How long to wait for it.
        **options: Further arguments of `serve_command`.

    Raises:
        ConfigurationError: the weights, the port or the Python cannot be used, or lack vLLM.
        TrainingError: the server ended, or did not answer in time; with the end of its log.
    """
    port, name = find_port(host, port), served_name or weights.resolve().name
    weights = find_weights(weights)
    command = serve_command(
        weights, port=port, host=host, served_name=name, python=python, cpu=cpu, **options
    )
    _require_vllm(command[0])
    log = log or weights / "serve.log"
    local = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    address = f"http://[{local}]:{port}" if ":" in local else f"http://{local}:{port}"
    with _open_log(log) as out:
        # A session of its own: Ctrl-C reaches it through us, and its children end with it.
        process = subprocess.Popen(
            command,
            env=to_environment(weights, cpu=cpu),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _await_health(process, f"{address}/health", log, start_seconds)
            yield Server(f"openai:{name}", f"{address}/v1", process, log)
        finally:
            _stop(process)


def find_port(host: str, port: int) -> int:
    """Return the port, or a free one for 0.

    Raises:
        ConfigurationError: it is taken, or may not be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            msg = f"cannot listen on port {port} of {host}: {exc.strerror}; choose another --port"
            raise ConfigurationError(msg) from exc
        return int(probe.getsockname()[1])


def _require_vllm(python: str) -> None:
    script = "import sys, importlib.util as u; sys.exit(u.find_spec('vllm') is None)"
    try:
        found = subprocess.run([python, "-c", script], capture_output=True, check=False)
    except OSError as exc:
        msg = f"cannot run {python!r}: {exc.strerror}; --python is the Python that has vLLM"
        raise ConfigurationError(msg) from exc
    if found.returncode != 0:
        msg = (
            f"{python!r} has no vLLM. It wants an environment of its own: make one, "
            "`python -m pip install vllm` there, and name its Python with --python"
        )
        raise ConfigurationError(msg)


@contextmanager
def _open_log(path: Path) -> Iterator[Any]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("wb")
    except OSError as exc:
        msg = f"cannot write the server's log {str(path)!r}: {exc.strerror}; choose another --log"
        raise ConfigurationError(msg) from exc
    with file:
        yield file


def _await_health(
    process: subprocess.Popen[bytes], url: str, log: Path, start_seconds: float
) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + start_seconds
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with opener.open(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    if process.poll() is None:
        raise _ended(log, f"did not answer within {start_seconds:g} s")
    raise _ended(log, f"ended with status {process.returncode}")


def _ended(log: Path, how: str) -> TrainingError:
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])
    return TrainingError(f"the server {how}; the end of {str(log)!r}:\n{tail}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server politely, then whatever is left of its process group."""
    try:
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
    finally:  # a second Ctrl-C does not wait
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
