"""LangChain tools, or a factory that opens a session of them, as an environment."""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from funreason_agents.environments.base import Environment
from funreason_agents.environments.python import run_tool
from funreason_agents.environments.signatures import read_signature
from funreason_agents.errors import ConfigurationError
from funreason_agents.schemas.tools import ToolSpec


@dataclass(frozen=True)
class ToolSession:
    """One live copy of a world made of tools: LangChain tools or plain typed functions.

    Without `dump_state` the tools count as stateless. Without `load_state` a state is restored
    by replaying the calls.
    """

    tools: Sequence[BaseTool | Callable[..., Any]]
    dump_state: Callable[[], Any] | None = None
    load_state: Callable[[Any], None] | None = None
    close: Callable[[], None] | None = None


class ToolSessionBackend:
    """One `ToolSession`, callable by name."""

    def __init__(self, session: ToolSession) -> None:
        self._session = session
        self._callers = {name: caller for name, (_, caller) in _read_tools(session.tools).items()}

    def call(self, name: str, arguments: dict[str, Any]) -> tuple[Any, bool]:
        """Invoke the tool; an exception it raises is the tool saying no."""
        return run_tool(lambda: self._callers[name](arguments))

    def dump_state(self) -> Any:
        """Return the session's state; `None` for stateless tools."""
        return copy.deepcopy(self._session.dump_state()) if self._session.dump_state else None

    def load_state(self, state: Any) -> bool:
        """Load `state` if the session can; stateless tools have nothing to load."""
        if self._session.load_state is None:
            return self._session.dump_state is None
        self._session.load_state(state)
        return True

    def close(self) -> None:
        """Close the session."""
        if self._session.close is not None:
            self._session.close()


def environment_from_tools(
    tools: Sequence[BaseTool | Callable[..., Any]] | Callable[[int], ToolSession],
    *,
    id: str | None = None,
) -> Environment:
    """See `Environment.from_tools`.

    Raises:
        ConfigurationError: a tool has no usable schema, or the factory gives no `ToolSession`.
    """
    if callable(tools) and not isinstance(tools, BaseTool):
        factory, name = tools, id or getattr(tools, "__name__", "tools")
    else:
        listed = tuple(tools)
        factory, name = (lambda _seed: ToolSession(tools=listed)), id or "tools"
    session = factory(0)
    if not isinstance(session, ToolSession):
        msg = f"{name!r} must return a ToolSession, not {type(session).__name__}"
        raise ConfigurationError(msg)
    specs = [spec for spec, _ in _read_tools(session.tools).values()]
    if session.close is not None:
        session.close()
    return Environment(
        id=name, tools=specs, open_backend=lambda seed: ToolSessionBackend(factory(seed))
    )


def _read_tools(
    tools: Sequence[BaseTool | Callable[..., Any]],
) -> dict[str, tuple[ToolSpec, Callable[[dict[str, Any]], Any]]]:
    read = [_read_langchain(t) if isinstance(t, BaseTool) else _read_function(t) for t in tools]
    return {spec.name: (spec, caller) for spec, caller in read}


def _read_langchain(tool: BaseTool) -> tuple[ToolSpec, Callable[[dict[str, Any]], Any]]:
    try:
        function = convert_to_openai_tool(tool)["function"]
    except Exception as exc:
        msg = f"tool {tool.name!r} has no usable schema: {exc}; give it an `args_schema`"
        raise ConfigurationError(msg) from exc
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    spec = ToolSpec(
        name=tool.name,
        description=str(function.get("description", "")),
        parameters=parameters,
        requires=tuple((tool.metadata or {}).get("requires", ())),
    )

    def caller(arguments: dict[str, Any]) -> Any:
        if _is_async_only(tool):
            return asyncio.run(tool.ainvoke(arguments))
        return tool.invoke(arguments)

    return spec, caller


def _is_async_only(tool: BaseTool) -> bool:
    return getattr(tool, "coroutine", None) is not None and getattr(tool, "func", None) is None


def _read_function(function: Callable[..., Any]) -> tuple[ToolSpec, Callable[[dict[str, Any]], Any]]:
    name = getattr(function, "__name__", None)
    if name is None or inspect.isclass(function):
        msg = f"{function!r} is neither a LangChain tool nor a function"
        raise ConfigurationError(msg)
    signature = read_signature(function, name=name)
    return signature.spec, lambda arguments: function(**signature.bind(arguments))
