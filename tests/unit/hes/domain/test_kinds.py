"""Which profile is for what, and which register is of power quality."""

from __future__ import annotations

import pytest

from hes.domain.kinds import is_power_quality, profile_kind
from hes.domain.work import ReadKind
from hes_protocol.cosem import Obis


@pytest.mark.parametrize(
    ("obis", "period_s", "kind"),
    [
        ("1.0.99.1.0.255", 900, ReadKind.PROFILE),
        ("1.0.99.2.0.255", 86_400, ReadKind.PROFILE),
        ("0.1.24.3.0.255", 3600, ReadKind.PROFILE),  # of an M-Bus device
        ("1.0.99.1.0.255", 0, None),
        ("0.0.98.1.0.255", 0, ReadKind.BILLING),
        ("1.0.98.2.0.255", 86_400, ReadKind.BILLING),
        ("0.0.99.98.0.255", 0, ReadKind.EVENTS),
        ("1.0.99.97.0.255", 0, ReadKind.EVENTS),
        ("1.0.99.10.1.255", 0, ReadKind.POWER_QUALITY),
        ("1.0.99.14.0.255", 600, ReadKind.POWER_QUALITY),
        ("0.0.21.0.1.255", 0, None),
    ],
)
def test_profiles(obis: str, period_s: int, kind: ReadKind | None) -> None:
    assert profile_kind(Obis.parse(obis), period_s) is kind


@pytest.mark.parametrize(
    ("obis", "expected"),
    [
        ("1.0.32.7.0.255", True),
        ("1.0.71.7.0.255", True),
        ("1.0.14.7.0.255", True),
        ("1.0.13.7.0.255", True),
        ("1.0.91.7.0.255", True),
        ("1.0.1.8.0.255", False),
        ("1.0.21.7.0.255", False),  # active power of L1
        ("7.0.14.7.0.255", False),  # gas
        ("0.0.32.7.0.255", False),
    ],
)
def test_registers(obis: str, expected: bool) -> None:
    assert is_power_quality(Obis.parse(obis)) is expected
