"""Settings that would break the collector's rules are refused when they are made."""

from __future__ import annotations

import pytest

from hes_collectors.dlms import CollectorSettings, Deadlines


def test_a_system_title_has_eight_octets() -> None:
    with pytest.raises(ValueError, match="system_title"):
        CollectorSettings(holder="x", system_title=b"short")


def test_a_session_has_time_for_a_request() -> None:
    with pytest.raises(ValueError, match="session_s"):
        CollectorSettings(
            holder="x", system_title=bytes(8), deadlines=Deadlines(session_s=15, request_s=15)
        )


def test_a_lease_outlasts_its_session() -> None:
    with pytest.raises(ValueError, match="lease_s"):
        CollectorSettings(
            holder="x",
            system_title=bytes(8),
            lease_s=120,
            deadlines=Deadlines(session_s=118, release_s=3),
        )
