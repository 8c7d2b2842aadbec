"""Random draws that depend on nothing but their key.

Trajectory `i` must be a pure function of (run seed, i). So no generator is ever shared: every
draw opens its own, keyed by what it is for, for example `rng(seed, i, "persona", turn)`.
"""

from __future__ import annotations

import hashlib
import random
import uuid

_NAMESPACE = uuid.UUID("6f1d2c52-8a0e-5b4f-9c57-2f5f4d8f6a11")


def derive_seed(*key: object) -> int:
    """Return a 31-bit seed for `key`, the same in every process and Python version."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def rng(*key: object) -> random.Random:
    """Return a fresh generator for `key`."""
    return random.Random(derive_seed(*key))


def make_thread_id(run_key: str, index: int) -> str:
    """Return the thread id of trajectory `index`: a UUID, since LangGraph's server wants one."""
    return str(uuid.uuid5(_NAMESPACE, f"{run_key}/{index}"))
