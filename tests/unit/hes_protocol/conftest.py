"""Hypothesis without a deadline: the machine that runs the tests may be busy with other work."""

from hypothesis import HealthCheck, settings

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
