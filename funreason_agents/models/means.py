"""By which means a model can be made to answer with an object of a given form."""

from __future__ import annotations

import re
from operator import itemgetter
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable, RunnableLambda, RunnableSequence
from pydantic import BaseModel

from funreason_agents.errors import PermanentModelError
from funreason_agents.models.calls import form_of

Means = Literal["schema", "tool", "text"]
"""A JSON schema that the server enforces; a tool call that it is forced to make; words alone."""

_UNSUPPORTED = {400, 422, 501}
_ABOUT_MEANS = re.compile(
    r"(?<![a-z])(tool|function|schema|response[_ ]format|structured|guided|grammar|json[_ ]mode)"
)
"""How servers speak of the ways to make a model answer in a form, when they refuse one."""


def is_about_means(refusal: PermanentModelError) -> bool:
    """Return whether a server refused the means by which it was asked, not this one request."""
    said = str(refusal).lower()
    unsupported = refusal.status in _UNSUPPORTED or (refusal.status == 404 and "support" in said)
    return unsupported and _ABOUT_MEANS.search(said) is not None


def find_means(model: BaseChatModel) -> tuple[Means, ...]:
    """Return the means worth trying, best first; words alone are always the last.

    What a model's profile denies is not tried. Servers that speak OpenAI's protocol have no
    profile for most models, so they are asked.
    """
    profile = getattr(model, "profile", None) or {}
    unknown = _speaks_openai(model)
    means: list[Means] = []
    if profile.get("structured_output", unknown):
        means.append("schema")
    if profile.get("tool_calling", unknown):
        means.append("tool")
    return (*means, "text")


def bind_schema(model: BaseChatModel, means: Means, schema: type[BaseModel]) -> Runnable[Any, Any]:
    """Return `model`, made to answer with a `schema` by `means`.

    Raises:
        NotImplementedError: the model cannot bind tools.
    """
    if means == "text":
        return model
    form, name = form_of(schema), "answer"
    if means == "tool":
        tool = {"name": name, "description": "Give the answer.", "parameters": form}
        return model.bind_tools([{"type": "function", "function": tool}], tool_choice=name)
    if not _speaks_openai(model):
        structured = model.with_structured_output(form, method="json_schema", include_raw=True)
        return RunnableSequence(structured, RunnableLambda(itemgetter("raw")))
    # As part of the body, since LangChain would parse the answer too, which costs time and turns
    # an answer that is cut off into an error without its tokens. Not strict: strict schemas can
    # have no free values, and what comes back is validated in any case.
    wanted = {"name": name, "schema": form, "strict": False}
    body = {"response_format": {"type": "json_schema", "json_schema": wanted}}
    return model.bind(extra_body={**(getattr(model, "extra_body", None) or {}), **body})


def _speaks_openai(model: BaseChatModel) -> bool:
    # By name: importing langchain-openai takes a second, and it may not be needed.
    return any(each.__name__ == "BaseChatOpenAI" for each in type(model).__mro__)
