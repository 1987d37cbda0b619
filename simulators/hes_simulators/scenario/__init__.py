"""Scenarios: who the meters of a fleet are, what happens to them and when, how fast time goes."""

from hes_simulators.scenario.pace import (
    AcceleratedPace,
    MockedPace,
    Pace,
    PaceError,
    RealPace,
    pace,
)

__all__ = ["AcceleratedPace", "MockedPace", "Pace", "PaceError", "RealPace", "pace"]
