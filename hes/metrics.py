"""Counters that every process exposes."""
