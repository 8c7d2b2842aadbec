"""A client for OpenAI and servers that speak its protocol, which keeps their reasoning."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult
from langchain_openai import ChatOpenAI
from openai import BaseModel

from funreason_agents.errors import TransientModelError

_OPTIONS = {
    "extra_body": "extra_json",
    "extra_headers": "headers",
    "extra_query": "params",
    "timeout": "timeout",
}
"""What belongs to a request but not to its body: our name and that of `client.post`."""


class OpenAICompatibleModel(ChatOpenAI):
    """`ChatOpenAI` drops the reasoning that vLLM and others send beside the text.

    It also takes an error page, or half an answer, with status 200 for a mistake of the caller.
    """

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        """Send the request and take the answer as the plain JSON that they are.

        The SDK's method for chat completions walks through both, on the way out in search of
        fields to rename, on the way back to make objects that are dumped again, which takes more
        CPU time than all the rest of a call (`benchmarks/results`).

        Raises:
            openai.OpenAIError: as the SDK raises it, not in LangChain's form.
        """
        body = self._get_request_payload(messages, stop=stop, **kwargs)
        plain = "response_format" not in body and not self.include_response_headers
        if not plain or self._use_responses_api(body):
            return super()._generate(messages, stop, run_manager, **kwargs)
        self._ensure_sync_client_available()
        options: Any = {theirs: body.pop(ours) for ours, theirs in _OPTIONS.items() if ours in body}
        answer: Any = self.root_client.post(
            "/chat/completions", body=body, cast_to=object, options=options
        )
        if isinstance(answer, str):  # what is not said to be JSON may still be
            with contextlib.suppress(ValueError):
                answer = json.loads(answer)
        return self._create_chat_result(answer)

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
            if message.get("refusal"):
                generation.message.additional_kwargs["refusal"] = str(message["refusal"])
        return result
