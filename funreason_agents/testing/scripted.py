"""A chat model that answers by a script: a function of what it is told, never of call order.

Branches that run in parallel ask in any order, so a list of canned answers would be right only
by luck. A script that has no answer refuses, and shows what it was asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr

from funreason_agents.errors import ConfigurationError

Json = dict[str, Any]
Answer = AIMessage | str | Mapping[str, Any] | None

_ROLE = re.compile(r"<role>(\w+)</role>")
_BLOCK = re.compile(r"```json\n(.*?)\n```", re.DOTALL)


@dataclass(frozen=True)
class ModelCall:
    """What a model was asked."""

    messages: tuple[BaseMessage, ...]
    tools: tuple[Json, ...]
    """The bound tools, in OpenAI's form."""

    @property
    def prompt(self) -> str:
        """Everything that was said, as text."""
        return "\n\n".join(f"[{m.type}] {m.text}" for m in self.messages)

    @property
    def role(self) -> str | None:
        """The role that the prompt marks: tooling, querying, reasoning or critiquing."""
        match = _ROLE.search(self.prompt)
        return match.group(1) if match else None

    @property
    def data(self) -> Any:
        """The first JSON block of the prompt: the data of the role."""
        match = _BLOCK.search(self.prompt)
        return json.loads(match.group(1)) if match else None


class ScriptedChatModel(BaseChatModel):
    """Answers with what `respond(messages, tools)` returns.

    An `AIMessage` is given as it is, a string becomes the text of one, and a mapping its JSON.
    None means that the script has no answer, and is refused. What `respond` raises is raised, so
    a script can be a provider that fails.
    """

    respond: Callable[[Sequence[BaseMessage], Sequence[Json]], Answer]
    model_name: str = "scripted"
    _calls: list[ModelCall] = PrivateAttr(default_factory=list)

    @property
    def calls(self) -> tuple[ModelCall, ...]:
        """What it was asked, in the order of arrival."""
        return tuple(self._calls)

    @property
    def _llm_type(self) -> str:
        return "funreason-scripted"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools, in any form that LangChain converts."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = ModelCall(tuple(messages), tuple(kwargs.get("tools") or ()))
        self._calls.append(call)
        answer = self.respond(call.messages, call.tools)
        if answer is None:
            names = [tool["function"]["name"] for tool in call.tools]
            msg = f"the script has no answer. Tools: {names}. It was asked:\n{call.prompt}"
            raise ConfigurationError(msg)
        if isinstance(answer, Mapping):
            answer = json.dumps(answer, ensure_ascii=False)
        message = AIMessage(answer) if isinstance(answer, str) else answer
        return ChatResult(generations=[ChatGeneration(message=message)])
