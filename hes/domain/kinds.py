"""
What a profile or register is for, told from its OBIS code. Pure.

Source: IEC 62056-6-1, data profile objects: billing (value group C 98), load and power quality
profiles (C 99), logs of events (C 99, D 98) and of power failures (D 97); value group C of
electricity for voltages, currents, power factors and frequency. What manufacturers put into value
group E is not looked at.
"""

from __future__ import annotations

from typing import Final

from hes.domain.work import ReadKind
from hes_protocol.cosem import Obis

_PROFILES: Final = 99
_BILLING: Final = 98
_LOGS: Final = (97, 98)
_QUALITY_PROFILES: Final = range(10, 20)  # dips, swells, cuts, harmonics, unbalance …
_ELECTRICITY: Final = 1
# Of all phases together, then of L1, L2, L3: current 11 and 31.., voltage 12 and 32.., power factor
# 13 and 33.., frequency 14 and 34..; neutral's current 91 and voltage 92.
_QUALITY: Final = frozenset(
    {*(phase + c for phase in (0, 20, 40, 60) for c in (11, 12, 13, 14)), 90, 91, 92}
)


def profile_kind(obis: Obis, capture_period_s: int) -> ReadKind | None:
    """
    By which kind of read a profile (class_id 7) comes; None for those that nothing reads.

    Args: capture_period_s: 0 where it captures when something happens.
    """
    a, _, c, d, _, _ = obis.octets
    if c == _BILLING:
        return ReadKind.BILLING
    if c == _PROFILES and d in _LOGS:
        return ReadKind.EVENTS
    if a == _ELECTRICITY and c == _PROFILES and d in _QUALITY_PROFILES:
        return ReadKind.POWER_QUALITY
    return ReadKind.PROFILE if capture_period_s > 0 else None


def is_power_quality(obis: Obis) -> bool:
    """Whether a register is a voltage, a current, a power factor or the frequency."""
    a, _, c, _, _, _ = obis.octets
    return a == _ELECTRICITY and c in _QUALITY
