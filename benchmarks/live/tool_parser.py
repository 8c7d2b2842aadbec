"""A parser of tool calls for vLLM, to go with chat_template.jinja, which opens the call itself."""

from __future__ import annotations

from typing import Any

from vllm.tool_parsers import ToolParserManager
from vllm.tool_parsers.hermes_tool_parser import Hermes2ProToolParser


@ToolParserManager.register_module("opened_hermes")
class OpenedHermesParser(Hermes2ProToolParser):
    """Reads calls as Hermes models write them, the first of which was opened by the prompt."""

    def extract_tool_calls(self, model_output: str, request: Any) -> Any:
        """Return the calls in an answer."""
        if model_output.lstrip().startswith("{"):
            model_output = self.tool_call_start_token + model_output
        return super().extract_tool_calls(model_output, request)
