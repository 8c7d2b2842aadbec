import json
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from pydantic import Field, SecretStr

from funreason_agents.errors import (
    ConfigurationError,
    ModelError,
    ModelOutputError,
    PermanentModelError,
    TransientModelError,
)
from funreason_agents.models.offline import OfflineChatModel
from funreason_agents.models.trouble import classify_trouble, hide_secrets, read_retry_after


class Response:
    def __init__(self, headers):
        self.headers = headers


class StatusError(Exception):
    def __init__(self, status, text="sorry", code=None, headers=()):
        super().__init__(text)
        self.status_code, self.code = status, code
        self.response = Response(dict(headers))


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_status_that_may_pass_is_transient(status):
    assert isinstance(classify_trouble(StatusError(status)), TransientModelError)


@pytest.mark.parametrize(
    "exc",
    [
        TimeoutError(),
        ConnectionResetError(),
        type("ReadTimeout", (type("TransportError", (Exception,), {}),), {})(),
        json.JSONDecodeError("empty", "", 0),
    ],
)
def test_connection_that_breaks_is_transient(exc):
    assert isinstance(classify_trouble(exc), TransientModelError)


@pytest.mark.parametrize(
    ("exc", "overloaded"),
    [
        (StatusError(429), True),
        (StatusError(503), True),
        (TimeoutError(), True),
        (StatusError(500), False),
        (ConnectionResetError(), False),
    ],
)
def test_only_overload_asks_for_fewer_requests(exc, overloaded):
    assert classify_trouble(exc).overloaded is overloaded


@pytest.mark.parametrize(
    ("exc", "stops_run"),
    [
        (StatusError(401), True),
        (StatusError(402), True),
        (StatusError(403), True),
        (StatusError(404), True),
        (StatusError(429, code="insufficient_quota"), True),
        (StatusError(429, "You exceeded your current quota"), True),
        (ssl.SSLCertVerificationError("self-signed"), True),
        (StatusError(400), False),
        (StatusError(422), False),
    ],
)
def test_refusal_is_permanent_and_says_whether_it_concerns_every_request(exc, stops_run):
    trouble = classify_trouble(exc)
    assert isinstance(trouble, PermanentModelError)
    assert trouble.stops_run is stops_run


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (StatusError(400, code="content_filter"), "content_filter"),
        (StatusError(400, code="context_length_exceeded"), "context_too_long"),
        (StatusError(400, "This model's maximum context length is 8192"), "context_too_long"),
        (type("LengthFinishReasonError", (Exception,), {})(), "truncated"),
    ],
)
def test_refusal_of_one_content_is_no_refusal_of_the_run(exc, kind):
    trouble = classify_trouble(exc)
    assert isinstance(trouble, ModelOutputError)
    assert trouble.kind == kind


def test_error_nobody_knows_is_a_plain_model_error():
    assert type(classify_trouble(ValueError("?"))) is ModelError


def test_our_own_errors_are_left_alone():
    error = ConfigurationError("no such model")
    assert classify_trouble(error) is error


@pytest.mark.parametrize("bound", [False, True])
def test_key_that_a_server_repeats_is_hidden(bound):
    class Keyed(OfflineChatModel):
        api_key: SecretStr = SecretStr("sk-canary")

    model = Keyed().bind_tools([]) if bound else Keyed()
    assert "sk-canary" not in str(classify_trouble(StatusError(401, "key sk-canary"), model))


class Addressed(OfflineChatModel):
    api_key: SecretStr = SecretStr("sk-canary")
    base_url: str = "https://ada:pw%2Dcanary@models.test:8000/v1"
    default_headers: dict[str, str] = Field(default={"X-Key": "Bearer hdr-canary", "X-Stage": "1"})


@pytest.mark.parametrize(
    "said",
    [
        "cannot connect to https://ada:pw%2Dcanary@models.test:8000/v1",
        "wrong password pw-canary",
        "wrong password 'pw%2Dcanary'",
        "no such key: hdr-canary",
        "redirected to http://bob:other-canary@models.test",
        "wrong key sk-canary",
    ],
)
def test_address_and_headers_are_shown_without_their_secrets(said):
    hidden = hide_secrets(said, Addressed().bind_tools([]).with_config({}))
    assert "canary" not in hidden
    assert "***" in hidden


@pytest.mark.parametrize(
    "said", ["https://models.test:8000/v1?mail=ada@models.test", "1 of 2 messages for ada is empty"]
)
def test_what_is_no_secret_is_left_as_it_is(said):
    assert hide_secrets(said, Addressed()) == said
    assert hide_secrets(said, None) == said


def test_time_the_provider_names_is_kept():
    trouble = classify_trouble(StatusError(429, headers={"Retry-After": "7"}))
    assert trouble.retry_after == 7


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2.5"}, 2.5),
        ({"Retry-After-Ms": "250", "Retry-After": "9"}, 0.25),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    ],
)
def test_retry_after_is_read(headers, seconds):
    assert read_retry_after(headers) == seconds


def test_retry_after_may_be_a_date():
    then = datetime.now(UTC) + timedelta(hours=1)
    seconds = read_retry_after({"retry-after": format_datetime(then, usegmt=True)})
    assert 3500 < seconds <= 3600
