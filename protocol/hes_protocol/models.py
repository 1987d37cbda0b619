"""Meter-model tables: parses text that is passed in; what collectors and simulators both know."""
