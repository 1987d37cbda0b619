"""Where clients may turn pushes to: where the fleet allows it, and nowhere else."""

from __future__ import annotations

import pytest

from hes_protocol.axdr import Data, DataTag, structure
from hes_protocol.cosem import Obis
from hes_protocol.xdlms.results import DataAccessResult
from hes_simulators.classes.push_setup import destination
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
