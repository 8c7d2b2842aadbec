"""Find out what a student model cannot do, and head for that (HardGen's failure-driven targets)."""

from funreason_agents.curriculum.probe import probe_student
from funreason_agents.curriculum.profile import (
    Score,
    StudentProfile,
    estimate_pass_at,
    read_profile,
    write_profile,
)

__all__ = [
    "Score",
    "StudentProfile",
    "estimate_pass_at",
    "probe_student",
    "read_profile",
    "write_profile",
]
