"""The tool graph: probing, building, sampling, minimising. Pure algorithms, no model calls."""
