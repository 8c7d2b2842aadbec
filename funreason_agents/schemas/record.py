"""The training record: messages, tools, checks, and the certificate that lets anybody replay it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from funreason_agents.schemas.base import Frozen, content_hash
from funreason_agents.schemas.review import Edit
from funreason_agents.schemas.tasks import HardTurn
from funreason_agents.schemas.tools import Origin, ToolSpec
from funreason_agents.schemas.trajectory import Check, MatchMode, Message

SCHEMA_VERSION: Literal[2] = 2


class GoldCall(Frozen):
    """One call of the gold trace; leaves with an `output` origin are filled in on replay."""

    name: str
    arguments: dict[str, Any]
    origins: dict[str, Origin] = Field(default_factory=dict)


class CertifiedCall(Frozen):
    """What a replayed call must give: hashes of its result and of the state after it."""

    result_hash: str
    state_hash: str


class CertifiedTurn(Frozen):
    """The gold trace that a turn was judged against, and what its own calls must reproduce.

    There is one for each message of the user.
    """

    target: str
    mode: MatchMode
    gold: tuple[GoldCall, ...]
    """Empty where nothing may be called."""
    calls: tuple[CertifiedCall, ...]
    hard: HardTurn | None = None
    """What makes the turn hard; None for a plain one."""
    edits: tuple[Edit, ...] = ()
    """What a person changed in it: the model's version and theirs, a preference pair."""


class Certificate(Frozen):
    """All a reader needs, besides the environment, to replay and judge a record anew."""

    environment_id: str
    tools_hash: str
    environment_seed: int
    initial_state_hash: str
    turns: tuple[CertifiedTurn, ...]
    verifier_version: int


class Provenance(Frozen):
    """Where a record comes from, as far as it is the same whenever the same seed is run."""

    package_version: str
    thread_id: str
    run_seed: int
    index: int
    targets: tuple[str, ...]
    rounds: tuple[int, ...]
    """Per turn, the round of the guided chain whose attempt was accepted."""
    turn_attempts: tuple[int, ...]
    models: dict[str, str]
    """Model id by role."""
    prompts: dict[str, str]
    """Prompt hash by role."""


class TrainingRecord(Frozen):
    """A trajectory made ready for training."""

    schema_version: Literal[1, 2] = SCHEMA_VERSION
    """Version 1 had no hard turns; it is read as it is."""
    id: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    checks: tuple[tuple[Check, ...], ...]
    """The checks of each turn."""
    certificate: Certificate
    provenance: Provenance


def make_record_id(messages: tuple[Message, ...], tools: tuple[ToolSpec, ...]) -> str:
    """Return the content hash that identifies a record: of its messages and tools."""
    return content_hash([[m.to_json() for m in messages], [t.to_json() for t in tools]], 32)
