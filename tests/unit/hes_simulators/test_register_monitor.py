"""Register monitors: scripts run when the power crosses a threshold, and not otherwise."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.xdlms.results import DataAccessResult
from hes_simulators.clock import microseconds
from hes_simulators.persistence import plain
from hes_simulators.state import Cut
from tests.unit.hes_simulators.living import START, Hands, hands

MONITOR = (21, "0.0.16.1.0.255")
POWER = (3, "1.0.1.7.0.255")
SCRIPTS = bytes((0, 0, 10, 0, 106, 255))
BILLING = bytes((0, 0, 10, 0, 1, 255))
WRITTEN = DataAccessResult.SUCCESS
SLOT_US = 900_000_000


def item(script: bytes = bytes(6), selector: int = 0) -> Data:
    return structure(Data(DataTag.OCTET_STRING, script), Data(DataTag.LONG_UNSIGNED, selector))


def watching(one: Hands, watts: int, up: Data, down: Data) -> Hands:
    threshold = Data(DataTag.DOUBLE_LONG_UNSIGNED, watts)
    assert one.set(MONITOR, 2, array(threshold)) is WRITTEN
    assert one.set(MONITOR, 4, array(structure(up, down))) is WRITTEN
    return one


def crossings(one: Hands, watts: int, days: int = 2) -> tuple[list[int], list[int]]:
    """Slots at whose begin the power of a meter rises above so much, and falls below."""
    first = microseconds(START)
    ends = np.arange(first, first + days * 86_400_000_000 + 1, SLOT_US)
    above = one.meter.measuring.wanted("import_w", ends[1:]) > watts
    change = np.diff(above.astype(int), prepend=int(above[0]))
    return ends[:-1][change > 0].tolist(), ends[:-1][change < 0].tolist()


def test_each_way_has_its_action() -> None:
    """A billing period is closed whenever the power rises above the threshold, to the moment."""
    watts = 600
    rises, falls = crossings(hands(), watts)
    assert len(rises) > 2
    up = watching(hands(), watts, item(BILLING, 1), item()).after(days=2)
    down = watching(hands(), watts, item(), item(BILLING, 1)).after(days=2)
    for one, moments in ((up, rises), (down, falls)):
        one.value(POWER)
        assert [at - 1 for at in one.meter.state.billings] == moments


def test_nobody_need_look() -> None:
    watched, quiet = (watching(hands(), 600, item(BILLING, 1), item(BILLING, 1)) for _ in "12")
    for minutes in range(7, 2880, 41):
        watched.at(START + timedelta(minutes=minutes)).value(POWER)
    for one in (watched, quiet):
        one.at(START + timedelta(days=2)).value(POWER)
    assert plain(watched.meter.state) == plain(quiet.meter.state)


def test_a_load_that_is_cut_off_falls_below() -> None:
    one = watching(hands(), 0, item(), item(BILLING, 1))
    assert one.value(POWER) > 0
    one.after(seconds=90)
    one.meter.cut(Cut.DISCONNECT, one.now)
    cut_us = microseconds(one.now)
    one.after(seconds=1).value(POWER)
    assert one.meter.state.billings == [cut_us + 1]


def test_one_that_switches_what_it_watches_rests_for_a_minute() -> None:
    """Off above the threshold, on below: without a rest it would do so without an end."""
    one = hands()
    low = watching(one, 1, item(), item())
    low.meter.cut(Cut.DISCONNECT, low.now)
    low.after(seconds=1).value(POWER)
    watching(low, 1, item(SCRIPTS, 1), item(SCRIPTS, 2))
    low.meter.restore(Cut.DISCONNECT, low.now)
    low.after(minutes=30).value(POWER)
    moves = [n for n in low.journal.notes if n.kind == "outage"]
    assert 20 < len(moves) < 40


@pytest.mark.parametrize(
    ("index", "data", "result"),
    [
        (2, Data(DataTag.UNSIGNED, 1), DataAccessResult.TYPE_UNMATCHED),
        (2, array(Data(DataTag.UNSIGNED, 1)), DataAccessResult.TYPE_UNMATCHED),
        (2, array(*[Data(DataTag.DOUBLE_LONG_UNSIGNED, 1)] * 9), DataAccessResult.OTHER_REASON),
        (4, array(), DataAccessResult.OTHER_REASON),
        (4, array(structure(item(), item(SCRIPTS, 9))), DataAccessResult.OTHER_REASON),
        (4, array(structure(item(b"123"), item())), DataAccessResult.OTHER_REASON),
        (4, array(item()), DataAccessResult.TYPE_UNMATCHED),
        (3, structure(), DataAccessResult.READ_WRITE_DENIED),
    ],
)
def test_what_it_cannot_go_by_is_refused(index: int, data: Data, result: DataAccessResult) -> None:
    one = hands()
    before = [one.value(MONITOR, at) for at in (2, 3, 4)]
    assert one.set(MONITOR, index, data) is result
    assert [one.value(MONITOR, at) for at in (2, 3, 4)] == before


def test_other_thresholds_begin_without_actions() -> None:
    one = watching(hands(), 600, item(BILLING, 1), item())
    thresholds = [Data(DataTag.DOUBLE_LONG_UNSIGNED, watts) for watts in (500, 900)]
    assert one.set(MONITOR, 2, array(*thresholds)) is WRITTEN
    assert list(one.value(MONITOR, 4)) == [structure(item(), item())] * 2
