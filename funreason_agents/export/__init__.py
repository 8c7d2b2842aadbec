"""From checkpoints to trajectories, records, rows and files."""
