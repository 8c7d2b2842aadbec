"""Typed objects of the data flow, one per arrow from `Environment` to `TrainingRecord`."""
