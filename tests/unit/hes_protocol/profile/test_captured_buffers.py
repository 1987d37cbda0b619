"""Profile buffers of real meters by columns; they lie in HES_VECTORS and are never committed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from hes_protocol.cosem import DEVIATION_UNSPECIFIED, CaptureObject, Obis
from hes_protocol.profile import NullMeaning, decode_profile
from tests.captures import octets_of

pytestmark = [pytest.mark.vectors, pytest.mark.conformance("profile-columns", "vector")]

CLOCK = CaptureObject(8, Obis.parse("0.0.1.0.0.255"), 2)
STATUS = CaptureObject(1, Obis.parse("0.0.96.10.1.255"), 2)
IMPORT = CaptureObject(3, Obis.parse("1.0.1.8.0.255"), 2)
EXPORT = CaptureObject(3, Obis.parse("1.0.2.8.0.255"), 2)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(first: datetime, rows: int) -> list[int]:
    """Hours from `first` on, civil time as if it were UTC."""
    step = timedelta(microseconds=1)
    return [(first + timedelta(hours=row) - EPOCH) // step for row in range(rows)]


@pytest.mark.conformance("deviation", "vector")
def test_a_day_of_hours(hes_vectors: Path) -> None:
    octets = octets_of(hes_vectors, "u9n-axdr-profile24")
    profile = decode_profile(
        octets, (CLOCK, STATUS, IMPORT), capture_period_s=3600, null_means=NullMeaning.MISSING
    )
    assert profile.rows == 24
    assert profile.clock is not None
    first = datetime(2018, 2, 12, tzinfo=UTC)
    assert profile.clock.local_us.tolist() == microseconds(first, 24)
    assert set(profile.clock.deviation_min.tolist()) == {DEVIATION_UNSPECIFIED}
    status, energy = (column.integers for column in profile.columns)
    assert status is not None
    assert energy is not None
    assert not status.any()
    assert energy[:3].tolist() == [0x186A0, 0x18840, 0x189E0]
    assert energy[-1] == 0x1AC00
    assert (np.diff(energy) > 0).all()


def test_clocks_that_are_null(hes_vectors: Path) -> None:
    octets = octets_of(hes_vectors, "u9n-profile-null-compressed")
    profile = decode_profile(
        octets,
        (CLOCK, STATUS, IMPORT, EXPORT),
        capture_period_s=3600,
        null_means=NullMeaning.MISSING,
    )
    assert profile.clock is not None
    first = datetime(2019, 12, 31, 23, tzinfo=UTC)
    assert profile.clock.local_us.tolist() == microseconds(first, 4)
    assert profile.clock.deviation_min.tolist() == [-60] * 4
    assert profile.clock.inferred.tolist() == [False, True, True, True]
    values = [column.integers for column in profile.columns]
    assert [None if column is None else column.tolist() for column in values] == [
        [6] * 4,
        [0x5ED] * 4,
        [0x654] * 4,
    ]
