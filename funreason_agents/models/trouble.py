"""What went wrong with a provider: from any client's exception to one of our errors."""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote

from pydantic import SecretStr

from funreason_agents.errors import (
    FunReasonError,
    ModelError,
    ModelOutputError,
    PermanentModelError,
    TransientModelError,
)

# Clients name their errors alike but share no base class.
_DISTURBED = {
    "APITimeoutError", "APIConnectionError", "APIResponseValidationError", "TransportError",
    "TimeoutException", "Timeout", "TimeoutError", "ConnectionError", "StreamError",
    "IncompleteRead", "ServiceUnavailable", "ResourceExhausted", "DeadlineExceeded",
}  # fmt: skip
_LATER = {408, 409, 425, 429}
_BUSY = {408, 429, 503, 504, 529}
_STOPS = {401, 402, 403, 404}
_NO_MONEY = ("insufficient_quota", "exceeded your current quota", "billing", "credit balance")
_FILTERED = ("content_filter", "content_policy", "responsibleaipolicy", "moderation", "flagged")
_TOO_LONG = (
    "context_length_exceeded", "context length", "context window", "prompt is too long",
    "maximum model length", "max_model_len", "too many tokens", "input is too long",
)  # fmt: skip
_USERINFO = re.compile(r"(?<=://)[^/?#\s'\"]+(?=@)")
_SENT_ALONG = {"default_headers", "default_query"}
"""Where clients hold what is sent along with each request, such as the key of a gateway."""
_SHORTEST = 4
"""Characters of a password or header below which it is left: any text may hold them."""
_ADVICE = {
    401: "check the API key",
    402: "check the account's balance",
    403: "check what the API key may do",
    404: "check the model's name and --base-url",
}


def classify_trouble(exc: Exception, model: Any = None) -> FunReasonError:
    """Return the typed error that `exc` means; one of ours is returned as it is.

    Args:
        exc: What the client of the provider raised.
        model: The chat model, whose secrets some servers repeat: they are left out.
    """
    if isinstance(exc, FunReasonError):
        return exc
    reason = hide_secrets(str(exc), model)  # messages of errors end up in checkpoints
    said = f"{type(exc).__name__}: {reason[:1000]}"
    names = {each.__name__ for each in type(exc).__mro__}
    if "LengthFinishReasonError" in names:
        return ModelOutputError(f"the answer was cut off: {said}", "truncated")
    if "ContentFilterFinishReasonError" in names:
        return ModelOutputError(f"the provider filtered the answer: {said}", "content_filter")
    status = _status_of(exc)
    if status is not None and status >= 400:
        return _classify_status(status, exc, said)
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in _chain(exc)):
        return PermanentModelError(f"the provider cannot be trusted: {said}", stops_run=True)
    if names & _DISTURBED or isinstance(exc, json.JSONDecodeError | ConnectionError):
        late = any("Timeout" in name for name in names)
        return TransientModelError(f"the provider did not answer: {said}", overloaded=late)
    return ModelError(f"the model call failed: {said}")


def _classify_status(status: int, exc: Exception, said: str) -> ModelError:
    text = f"{said} {getattr(exc, 'code', '')}".lower()
    if any(words in text for words in _NO_MONEY) and status in {402, 403, 429}:
        msg = f"the account has no quota left ({status}): {said}"
        return PermanentModelError(msg, status, stops_run=True)
    if status in _LATER or (status >= 500 and status != 501):
        msg = f"the provider could not answer ({status}): {said}"
        busy = status in _BUSY
        return TransientModelError(msg, read_retry_after(_headers_of(exc)), overloaded=busy)
    if status in {400, 403, 422} and any(words in text for words in _FILTERED):
        return ModelOutputError(f"the provider filtered the request: {said}", "content_filter")
    if status in {400, 413, 422} and any(words in text for words in _TOO_LONG):
        return ModelOutputError(f"the request is too long: {said}", "context_too_long")
    advice = f"; {_ADVICE[status]}" if status in _ADVICE else ""
    msg = f"the provider refused the request ({status}{advice}): {said}"
    return PermanentModelError(msg, status, stops_run=status in _STOPS)


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait that a response asks for, given in seconds or as a date."""
    held = {name.lower(): value for name, value in headers.items()}
    try:
        if "retry-after-ms" in held:
            return max(0.0, float(held["retry-after-ms"]) / 1000)
        return max(0.0, float(held["retry-after"]))
    except KeyError:
        return None
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(held["retry-after"]).timestamp() - time.time())
    except (KeyError, ValueError):
        return None


def hide_secrets(text: str, model: Any) -> str:
    """Return `text` without keys, passwords in addresses and added headers.

    Some servers repeat them when they refuse a request, and some clients name the address.
    """
    while hasattr(model, "bound"):
        model = model.bound
    # The longest first: one secret may be part of another.
    for secret in sorted(_find_secrets(model), key=len, reverse=True):
        text = text.replace(secret, "***")
    return _USERINFO.sub("***", text)


def _find_secrets(model: Any) -> Iterator[str]:
    for name, value in vars(model).items() if model is not None else ():
        words: list[str] = []
        if isinstance(value, SecretStr):
            yield from filter(None, [value.get_secret_value()])
        elif name in _SENT_ALONG and isinstance(value, Mapping):
            # By the word: of `Bearer KEY`, a server may repeat the key alone.
            words = [word for each in value.values() for word in str(each).split()]
        elif isinstance(value, str):
            words = [held.rpartition(":")[2] for held in _USERINFO.findall(value)]
            words += map(unquote, words[:])
        yield from (word for word in words if len(word) >= _SHORTEST)


def _status_of(exc: Exception) -> int | None:
    response = getattr(exc, "response", None)
    candidates = (
        getattr(exc, "status_code", None),
        getattr(exc, "http_status", None),
        getattr(exc, "code", None),
        getattr(response, "status_code", None),
    )
    return next((each for each in candidates if isinstance(each, int)), None)


def _headers_of(exc: Exception) -> Mapping[str, str]:
    headers = getattr(getattr(exc, "response", None), "headers", None)
    return headers if isinstance(headers, Mapping) else {}


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__
