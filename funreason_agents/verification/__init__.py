"""The deterministic verifier: named checks, replay, verdict. Pure functions, no model calls."""

VERIFIER_VERSION = 3
"""Raised whenever a change alters which trajectories are accepted."""
