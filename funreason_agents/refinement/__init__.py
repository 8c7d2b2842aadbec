"""Data refinement, pure parts: FCDR's five checks, repairs, outcomes and counts, over any rows."""
