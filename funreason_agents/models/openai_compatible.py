"""A client for OpenAI and servers that speak its protocol, which keeps their reasoning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.outputs import ChatResult
from langchain_openai import ChatOpenAI
from openai import BaseModel

from funreason_agents.errors import TransientModelError


class OpenAICompatibleModel(ChatOpenAI):
    """`ChatOpenAI` drops the reasoning that vLLM and others send beside the text.

    It also takes an error page, or half an answer, with status 200 for a mistake of the caller.
    """

    def _create_chat_result(
        self, response: dict[str, Any] | BaseModel, generation_info: dict[str, Any] | None = None
    ) -> ChatResult:
        answer = response.model_dump() if isinstance(response, BaseModel) else response
        if not isinstance(answer, Mapping) or not answer.get("choices"):
            held = sorted(answer) if isinstance(answer, Mapping) else str(answer)[:200]
            msg = f"the server's answer is no chat completion: {held}"
            raise TransientModelError(msg)
        result = super()._create_chat_result(response, generation_info)
        for generation, choice in zip(result.generations, answer["choices"], strict=True):
            message = choice.get("message") or {}
            reasoning = message.get("reasoning_content") or message.get("reasoning")
            if reasoning:
                generation.message.additional_kwargs["reasoning_content"] = str(reasoning)
        return result

    def _get_request_payload(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Hand messages and tools to the SDK as plain JSON, which they are.

        Given as parameters, it would walk through each of them in search of fields to rename,
        which takes more time than all the rest of a call (`benchmarks/results`).
        """
        payload = super()._get_request_payload(*args, **kwargs)
        plain = {name: payload.pop(name) for name in ("messages", "tools") if name in payload}
        body = {**(payload.get("extra_body") or {}), **plain}
        return {**payload, "messages": [], "extra_body": body}
