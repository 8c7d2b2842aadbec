"""Hard turns in the manner of BFCL: one operator per kind, each a pure function."""
