"""Servers that `hes up` and the tests start, health-check and stop."""
