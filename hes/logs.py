"""Structured logs: one configuration for every process."""
