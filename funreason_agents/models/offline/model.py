"""A rule-based chat model: a pure function of messages and bound tools.

It is told its role by the marker in the prompt and its data by the JSON blocks there, as any
model is. It has no access to the environment, the tool graph, or the gold trace of the turn it
is asked to solve. It can be wrong, be corrected by the critic, and be rejected.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from funreason_agents.errors import ModelOutputError
from funreason_agents.models.offline.reasoning import reason
from funreason_agents.models.offline.writing import (
    criticise,
    fold_calls,
    judge_query,
    write_query,
)

_ROLE = re.compile(r"<role>(\w+)</role>")
_BLOCK = re.compile(r"```json\n(.*?)\n```", re.DOTALL)


class OfflineChatModel(BaseChatModel):
    """See the module's docstring."""

    model_name: str = "offline"

    @property
    def _llm_type(self) -> str:
        return "funreason-offline"

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
        answer = answer_messages(messages, kwargs.get("tools") or [])
        return ChatResult(generations=[ChatGeneration(message=answer)])


def answer_messages(messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]]) -> AIMessage:
    """Answer as the role that the prompt marks.

    Raises:
        ModelOutputError: no message holds a role marker.
    """
    prompt = next((str(m.content) for m in messages if _ROLE.search(str(m.content))), None)
    if prompt is None:
        msg = "the offline model only answers this package's prompts; no role marker was found"
        raise ModelOutputError(msg)
    match = _ROLE.search(prompt)
    assert match is not None
    data = json.loads(_BLOCK.findall(prompt)[0])
    role = match.group(1)
    if role == "reasoning":
        return reason(data, messages, [tool["function"] for tool in tools])
    writers = {
        "tooling": fold_calls,
        "querying": write_query,
        "critiquing": criticise,
        "judging": judge_query,
    }
    return AIMessage(json.dumps(writers[role](data), ensure_ascii=False))
