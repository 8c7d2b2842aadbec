"""Care of finished records: what is kept apart from benchmarks before anybody trains on them."""
