"""LangChain tools, or a factory that opens a session of them, as an environment."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from funreason_agents.environments.base import Environment
from funreason_agents.environments.python import run_tool
from funreason_agents.environments.signatures import Signature, read_signature
from funreason_agents.environments.states import copy_state, dump
from funreason_agents.errors import ConfigurationError, EnvError, boundary
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


Caller = Callable[[dict[str, Any]], Any]


class ToolSessionBackend:
    """One `ToolSession`, callable by name."""

    def __init__(self, session: ToolSession, signatures: Mapping[str, Signature]) -> None:
        self._session = session
        self._callers = {_tool_name(each): _make_caller(each, signatures) for each in session.tools}
        self._closed = False

    def call(self, name: str, arguments: dict[str, Any]) -> tuple[Any, bool]:
        """Invoke the tool; an exception it raises is the tool saying no.

        Raises:
            EnvError: this session's factory gave no such tool.
        """
        caller = self._callers.get(name)
        if caller is None:
            msg = f"the session has no tool {name!r}; a factory must give the same for each seed"
            raise EnvError(msg)
        return run_tool(lambda: caller(arguments))

    def dump_state(self) -> Any:
        """Return the session's state; `None` for stateless tools."""
        dump_state = self._session.dump_state
        return None if dump_state is None else dump(dump_state())

    def load_state(self, state: Any) -> bool:
        """Load `state` if the session can; stateless tools have nothing to load."""
        if self._session.dump_state is None:
            return True
        if self._session.load_state is None:
            return False
        self._session.load_state(copy_state(state))
        return True

    def close(self) -> None:
        """Close the session."""
        if self._session.close is not None and not self._closed:
            self._closed = True
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
    name = str(id or getattr(tools, "__name__", "tools"))
    open_session = _make_factory(tools)
    with boundary(EnvError, f"open {name!r} with seed 0"):
        session = open_session(0)
    if not isinstance(session, ToolSession):
        msg = f"{name!r} must return a ToolSession, not {type(session).__name__}"
        raise ConfigurationError(msg)
    signatures = {
        _tool_name(each): read_signature(each, name=_tool_name(each))
        for each in session.tools
        if not isinstance(each, BaseTool)
    }
    specs = [
        _read_spec(each) if isinstance(each, BaseTool) else signatures[_tool_name(each)].spec
        for each in session.tools
    ]
    ToolSessionBackend(session, signatures).close()
    return Environment(
        id=name,
        tools=specs,
        open_backend=lambda seed: ToolSessionBackend(open_session(seed), signatures),
    )


def _make_factory(tools: Any) -> Callable[[int], ToolSession]:
    if callable(tools) and not isinstance(tools, BaseTool):
        factory: Callable[[int], ToolSession] = tools
        return factory
    listed = (tools,) if isinstance(tools, BaseTool) else tuple(tools)
    return lambda _seed: ToolSession(tools=listed)


def _tool_name(tool: Any) -> str:
    if isinstance(tool, BaseTool):
        return tool.name
    name = getattr(tool, "__name__", None)
    if name is None or inspect.isclass(tool) or not callable(tool):
        msg = f"{tool!r} is neither a LangChain tool nor a function"
        raise ConfigurationError(msg)
    return str(name)


def _read_spec(tool: BaseTool) -> ToolSpec:
    try:
        function = convert_to_openai_tool(tool)["function"]
    except Exception as exc:
        msg = f"tool {tool.name!r} has no usable schema: {exc}; give it an `args_schema`"
        raise ConfigurationError(msg) from exc
    return ToolSpec(
        name=tool.name,
        description=str(function.get("description", "")),
        parameters=function.get("parameters") or {"type": "object", "properties": {}},
        requires=tuple((tool.metadata or {}).get("requires", ())),
    )


def _make_caller(
    tool: BaseTool | Callable[..., Any], signatures: Mapping[str, Signature]
) -> Caller:
    if isinstance(tool, BaseTool):
        return _make_tool_caller(tool)
    name = _tool_name(tool)
    # Reading a signature is slow, and each session has the same ones.
    signature = signatures.get(name) or read_signature(tool, name=name)
    return lambda arguments: tool(**signature.bind(arguments))


def _make_tool_caller(tool: BaseTool) -> Caller:
    if tool.handle_tool_error or tool.handle_validation_error:
        # A handled error would come back as text that looks like success.
        silent = {"handle_tool_error": False, "handle_validation_error": False}
        tool = tool.model_copy(update=silent)
    if getattr(tool, "coroutine", None) is not None and getattr(tool, "func", None) is None:
        return tool.ainvoke
    return tool.invoke
