"""
Who does which step of a session: one function for each kind.

A runner asks, commits piece by piece, and tells what came of it. What the meter refuses is an
outcome; what ends the session (a deadline, a lost connection, a wrong tag, storage that is away)
is raised.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from hes_collectors.dlms.events import read_events
from hes_collectors.dlms.power_quality import read_power_quality
from hes_collectors.dlms.profiles import read_gap, read_profile
from hes_collectors.dlms.registers import read_registers
from hes_collectors.dlms.talk import Talk
from hes_collectors.dlms.work import Step, StepKind, StepOutcome

Runner = Callable[[Talk, Step], Awaitable[StepOutcome]]

RUNNERS: Final[Mapping[StepKind, Runner]] = {
    StepKind.GAP: read_gap,
    StepKind.PROFILE: read_profile,
    StepKind.BILLING: read_profile,
    StepKind.EVENTS: read_events,
    StepKind.REGISTERS: read_registers,
    StepKind.POWER_QUALITY: read_power_quality,
}
UNSUPPORTED: Final = StepOutcome(refused="read-unsupported")
"""Of a step that nobody does yet."""
