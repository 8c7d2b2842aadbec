"""From a model string to a chat model, one per role if wanted."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from langchain_core.language_models import BaseChatModel

from funreason_agents.errors import ConfigurationError, MissingExtraError
from funreason_agents.models.client import ModelClient, Retries
from funreason_agents.models.ledger import Ledger
from funreason_agents.models.limiter import Limiter
from funreason_agents.models.offline import OfflineChatModel
from funreason_agents.prompts import ROLES

ModelLike = str | BaseChatModel
TIMEOUT = 300.0
"""Seconds after which a request to an OpenAI-compatible server counts as not answered."""


def load_model(model: ModelLike, *, base_url: str | None = None) -> BaseChatModel:
    """Return the chat model that `model` names.

    Args:
        model: `"offline"`, `"openai:NAME"` for OpenAI or any OpenAI-compatible server,
            `"provider:NAME"` for whatever `langchain.chat_models.init_chat_model` knows, or a
            chat model, which is returned as it is.
        base_url: Address of the server, for `"openai:..."` and providers that take one.

    Raises:
        ConfigurationError: the string names no model, or its API key is not set.
        MissingExtraError: the provider's package is not installed.
    """
    if isinstance(model, BaseChatModel):
        return model
    if model == "offline":
        return OfflineChatModel()
    provider, _, name = model.partition(":")
    if not provider or not name:
        msg = (
            f"unknown model {model!r}; use 'offline', 'openai:NAME' (any OpenAI-compatible server, "
            "with --base-url), or 'provider:NAME'"
        )
        raise ConfigurationError(msg)
    if provider == "openai":
        return _load_openai(name, base_url)
    return _load_other(model, base_url)


def _load_openai(name: str, base_url: str | None) -> BaseChatModel:
    from funreason_agents.models.openai_compatible import (  # noqa: PLC0415  # slow to import
        OpenAICompatibleModel,
    )

    address = base_url or os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_BASE")
    key = os.environ.get("OPENAI_API_KEY")
    if not key and not address:
        msg = (
            f"model 'openai:{name}' needs OPENAI_API_KEY in the environment, "
            "or --base-url for a server of your own; or use --model offline"
        )
        raise ConfigurationError(msg)
    # Servers of one's own want no key, but the client insists on having one.
    # It sends nothing again by itself: that is done, and counted, in one place.
    options: dict[str, Any] = {
        "api_key": key or "not-needed",
        "max_retries": 0,
        "timeout": TIMEOUT,
    }
    if address:
        options["base_url"] = address
    try:
        return OpenAICompatibleModel(model=name, **options)
    except Exception as exc:
        msg = f"model 'openai:{name}' at {address!r} cannot be used: {exc}"
        raise ConfigurationError(msg) from exc


def _load_other(model: str, base_url: str | None) -> BaseChatModel:
    if find_spec("langchain") is None:
        msg = f"model {model!r} needs langchain: pip install 'funreason-agents[agents]'"
        raise MissingExtraError(msg)
    init_chat_model = import_module("langchain.chat_models").init_chat_model
    options: dict[str, Any] = {"base_url": base_url} if base_url else {}
    try:
        loaded = init_chat_model(model, **options)
    except ImportError as exc:
        msg = f"model {model!r}: {exc}"
        raise MissingExtraError(msg) from exc
    except Exception as exc:
        msg = f"model {model!r} cannot be used: {exc}"
        raise ConfigurationError(msg) from exc
    assert isinstance(loaded, BaseChatModel)
    return loaded


@dataclass(frozen=True)
class RoleModels:
    """The client of each role."""

    tooling: ModelClient
    querying: ModelClient
    reasoning: ModelClient
    critiquing: ModelClient
    judging: ModelClient

    @property
    def ids(self) -> dict[str, str]:
        """Model id by role, for provenance."""
        return {role: getattr(self, role).model_id for role in ROLES}


def load_models(
    model: ModelLike = "offline",
    models: Mapping[str, ModelLike] | None = None,
    *,
    base_url: str | None = None,
    ledger: Ledger | None = None,
    retries: Retries | None = None,
) -> RoleModels:
    """Return a client for each role: of `models[role]` where given, else of `model`.

    Judging is done by the critiquing model, unless it has a model of its own. Clients of one
    provider share what they learn about how much it can take.

    Args:
        model: Chat model or model string for all roles.
        models: Chat model or model string by role.
        base_url: Address of an OpenAI-compatible server.
        ledger: Counts and limits the calls of all roles.
        retries: How provider trouble is waited out.

    Raises:
        ConfigurationError: `models` names an unknown role, or a model cannot be loaded.
        MissingExtraError: the provider's package is not installed.
    """
    given = dict(models or {})
    unknown = sorted(set(given) - set(ROLES))
    if unknown:
        msg = f"unknown roles {unknown}; the roles are {list(ROLES)}"
        raise ConfigurationError(msg)
    chosen = {role: given.get(role, model) for role in ROLES}
    chosen["judging"] = given.get("judging", chosen["critiquing"])
    ledger = ledger or Ledger()
    loaded: dict[int | str, BaseChatModel] = {}
    limiters: defaultdict[str, Limiter] = defaultdict(Limiter)
    clients = {}
    for role, each in chosen.items():
        key = each if isinstance(each, str) else id(each)
        if key not in loaded:
            loaded[key] = load_model(each, base_url=base_url)
        clients[role] = ModelClient(
            role,
            loaded[key],
            model_id=model_id(loaded[key]),
            ledger=ledger,
            limiter=limiters[_endpoint(loaded[key])],
            retries=retries,
        )
    return RoleModels(**clients)


def _endpoint(model: BaseChatModel) -> str:
    """Return what is shared by models that one provider serves: an address, else the class."""
    for attribute in ("openai_api_base", "base_url", "azure_endpoint", "endpoint_url"):
        address = getattr(model, attribute, None)
        if isinstance(address, str) and address:
            return address
    return f"{type(model).__module__}.{type(model).__name__}"


def model_id(model: BaseChatModel) -> str:
    """Return what identifies `model` in provenance: its model name, else its class."""
    for attribute in ("model_name", "model", "model_id"):
        name = getattr(model, attribute, None)
        if isinstance(name, str) and name:
            return name
    return type(model).__name__
