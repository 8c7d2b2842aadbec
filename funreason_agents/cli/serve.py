"""`funreason serve`: tuned weights behind an OpenAI-compatible address."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from funreason_agents.cli.console import console
from funreason_agents.training.serving import Server, serve


def serve_weights(
    weights: Path,
    *,
    port: int = 8000,
    host: str = "127.0.0.1",
    served_name: str | None = None,
    python: Path | None = None,
    cpu: bool = False,
    template: Path | None = None,
    tool_parser: str | None = None,
    reasoning_parser: str | None = None,
    log: Path | None = None,
    extra: Sequence[str] = (),
) -> None:
    """Serve until Ctrl-C or SIGTERM, which are passed on, or until the server ends.

    Raises:
        ConfigurationError: the weights, the port or the Python cannot be used, or lack vLLM.
        TrainingError: the server did not come up, or failed later.
        KeyboardInterrupt: it was stopped.
    """
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    # Shells start background jobs with Ctrl-C ignored.
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    console.print(f"Starting vLLM on {escape(str(weights))} ...")
    try:
        with serve(
            weights,
            port=port,
            host=host,
            served_name=served_name,
            python=python,
            cpu=cpu,
            log=log,
            template=template,
            tool_parser=tool_parser,
            reasoning_parser=reasoning_parser,
            extra=extra,
        ) as server:
            _show(server)
            server.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupt)


def _show(server: Server) -> None:
    name = server.model.removeprefix("openai:")
    console.print(
        f"Ready. Its log is {escape(str(server.log))}; Ctrl-C stops it.\n\n"
        f"  funreason ... --model {escape(server.model)} --base-url {server.base_url}\n"
        f"  ChatOpenAI(model={escape(repr(name))}, base_url={server.base_url!r}, api_key='none')\n"
    )
