"""Where clients may turn pushes to: where the fleet allows it, and nowhere else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.cosem import Obis
from hes_protocol.xdlms.results import DataAccessResult
from hes_simulators.classes.push_setup import destination
from hes_simulators.classes.windows import opens_in_us
from hes_simulators.reach import Target
from tests.unit.hes_simulators.living import hands

PUSH = (40, "0.4.25.9.0.255")
HOME, ELSEWHERE = Target("127.0.0.1", 4059), Target("127.0.0.2", 5000)


def to(where: bytes, service: int = 0, message: int = 0) -> Data:
    enums = (Data(DataTag.ENUM, service), Data(DataTag.ENUM, message))
    return structure(enums[0], Data(DataTag.OCTET_STRING, where), enums[1])


def test_a_push_goes_where_a_client_says_if_it_may() -> None:
    one = hands(destinations=(HOME, ELSEWHERE))
    assert one.value(PUSH, 3)[1].value == b"127.0.0.1:4059"
    written, obis = one.meter.state.written, Obis.parse(PUSH[1])
    assert destination(written, obis, (HOME, ELSEWHERE)) is None
    assert one.set(PUSH, 3, to(b"127.0.0.2:5000")) is DataAccessResult.SUCCESS
    assert one.value(PUSH, 3)[1].value == b"127.0.0.2:5000"
    assert destination(written, obis, (HOME, ELSEWHERE)) == ELSEWHERE
    # Kept from a start that allowed it.
    assert destination(written, obis, (HOME,)) is None
    assert one.set(PUSH, 3, to(b"127.0.0.1")) is DataAccessResult.SUCCESS
    assert destination(written, obis, (HOME, ELSEWHERE)) == HOME


@pytest.mark.parametrize(
    "wrong",
    [
        to(b"127.0.0.2:5001"),
        to(b"192.0.2.1:4059"),
        to(b"127.0.0.2:5000", service=1),
        to(b"127.0.0.2:5000", message=1),
        to(b"127.0.0.2:5000:"),
        to(b"127.0.0.2:\xb2"),
        to(b"meters.example:4059"),
        to(b"x" * 65),
        to(b""),
    ],
)
def test_nobody_turns_meters_upon_others(wrong: Data) -> None:
    one = hands(destinations=(HOME, ELSEWHERE))
    assert one.set(PUSH, 3, wrong) is DataAccessResult.OTHER_REASON
    assert one.value(PUSH, 3)[1].value == b"127.0.0.1:4059"


def test_a_fleet_that_pushes_nowhere_can_be_turned_nowhere() -> None:
    one = hands()
    assert one.set(PUSH, 3, to(b"127.0.0.1:4059")) is DataAccessResult.OTHER_REASON
    assert one.set(PUSH, 3, to(b"")) is DataAccessResult.SUCCESS  # as it is
    assert one.set(PUSH, 3, structure()) is DataAccessResult.TYPE_UNMATCHED


def window(start: str, end: str, date: str = "ff" * 5) -> Data:
    return structure(
        *(
            Data(DataTag.OCTET_STRING, bytes.fromhex(f"{date}{edge}ff8000ff"))
            for edge in (start, end)
        )
    )


@pytest.mark.parametrize(
    ("at", "hours"),
    [
        ("2026-11-17T00:59:59", 1 / 3600),
        ("2026-11-17T01:00:00", 0),  # 2:00 in Vienna
        ("2026-11-17T02:59:59", 0),
        ("2026-11-17T03:00:00", 18),
        ("2026-11-17T21:00:00", 0),  # 22:00, over midnight
        ("2026-11-17T23:29:59", 0),
        ("2026-11-17T23:30:00", 1.5),
        ("2026-03-28T23:30:00", 1.5),  # the hour from 2:00 on is not there, from 3:00 on it is
        ("2026-10-25T03:00:00", 18),
    ],
)
def test_a_push_begins_in_its_window(at: str, hours: float) -> None:
    one = hands(at=datetime.fromisoformat(at).replace(tzinfo=UTC))
    obis = Obis.parse(PUSH[1])
    assert opens_in_us(one.meter, obis) == 0
    windows = array(window("020000", "040000"), window("160000", "001e00"))
    assert one.set(PUSH, 4, windows) is DataAccessResult.SUCCESS
    assert one.get(PUSH, 4) == windows
    assert opens_in_us(one.meter, obis) == timedelta(hours=hours).total_seconds() * 1_000_000
    assert one.set(PUSH, 4, array()) is DataAccessResult.SUCCESS
    assert opens_in_us(one.meter, obis) == 0


@pytest.mark.parametrize(
    ("wrong", "result"),
    [
        (array(window("180000", "040000")), DataAccessResult.OTHER_REASON),
        (array(window("020000", "04ff00")), DataAccessResult.OTHER_REASON),
        (array(window("020000", "040000", "07ea0b11ff")), DataAccessResult.OTHER_REASON),
        (array(structure()), DataAccessResult.TYPE_UNMATCHED),
        (array(*[window("020000", "040000")] * 9), DataAccessResult.OTHER_REASON),
    ],
)
def test_windows_are_of_every_day(wrong: Data, result: DataAccessResult) -> None:
    one = hands()
    assert one.set(PUSH, 4, wrong) is result
    assert one.value(PUSH, 4) == ()
