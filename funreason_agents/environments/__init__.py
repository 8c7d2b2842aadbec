"""Environments: tool worlds that can be opened many times, and their adapters."""
