"""States of a fleet in a file: what differs from fresh meters lives on, nothing else is written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio
import trio.testing

from hes_protocol.axdr import Data, DataTag
from hes_protocol.cosem import Attribute, Obis
from hes_protocol.security.key_wrap import KeyId
from hes_protocol.server import SetRequested
from hes_simulators import Fleet, FleetSettings
from hes_simulators.keys import Keyring, change
from hes_simulators.persistence import SAVE_EVERY_S, StateFile, StateFileError
from hes_simulators.state import Cut, MeterState

NOW = datetime(2026, 11, 17, 10, tzinfo=UTC)
POINT = Obis.parse("0.0.96.1.10.255")
NAME = Data(DataTag.OCTET_STRING, b"AT-1")


def fleet(states: dict[int, MeterState] | None = None, start: int = 1) -> Fleet:
    settings = FleetSettings(meters=5)
    return Fleet(settings, start_number=start, now=lambda: NOW, states=states)


def touch(one: Fleet) -> None:
    meter = one.meter(2)
    meter.set(SetRequested(1, Attribute(1, POINT, 2), NAME, None, 1))
    meter.cut(Cut.OUTAGE, NOW)
    meter.state.counters[1] = 77
    one.meter(3)  # looked at, and still fresh


def test_what_differs_is_there_after_a_restart(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "deep" / "states", 1)
    assert file.load() == {}
    first = fleet()
    touch(first)
    file.save(first.states())
    found = file.load()
    assert list(found) == [2]
    again = fleet(found, start=2).meter(2)
    assert again.state.written[POINT, 2] == NAME
    assert again.state.counters == {1: 77}
    assert again.is_dark(NOW)


def test_a_meter_that_nobody_asked_for_is_kept(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "states", 1)
    first = fleet()
    touch(first)
    file.save(first.states())
    file.save(fleet(file.load(), start=2).states())
    assert list(file.load()) == [2]


def test_own_counters_are_above_all_before(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "states", 1)
    first = fleet(start=1)
    drawn = [first.meter(0)._draw_counter() for _ in range(3)]
    file.save(first.states())
    first.meter(0)._draw_counter()  # used after the save, then killed
    second = fleet(file.load(), start=2).meter(0)
    assert second._draw_counter() > drawn[-1] + 1
    same_start = fleet(file.load(), start=1).meter(0)
    assert same_start._draw_counter() == drawn[-1] + 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing\n",
        '{"format":1,"seed":2}\n',
        '{"format":1,"seed":1}\n{"index":1}\n',
        '{"format":1,"seed":1}\n{"index":1,"state":{"colour":1}}\n',
        '{"format":1,"seed":1}\n{"index":1,"state":{"written":{"data":"zz"}}}\n',
        '{"format":1,"seed":1}\n{"index":1,"state":{"written":{"data":"12"}}}\n',
    ],
)
def test_a_file_that_is_none_says_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "states"
    path.write_text(text)
    with pytest.raises(StateFileError, match="states"):
        StateFile(path, 1).load()


async def test_it_is_saved_now_and_then_and_at_the_end(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    path, one = tmp_path / "states", fleet()
    async with trio.open_nursery() as nursery:
        begun = trio.current_time()
        await nursery.start(StateFile(path, 1).run, one.states)
        touch(one)
        await saved(path, states=1)
        assert trio.current_time() - begun >= SAVE_EVERY_S
        assert path.stat().st_mode & 0o077 == 0  # keys are in it
        one.meter(4).raise_event("cover_opened", NOW)
        one.meter(4).state.counters[1] = 1
        nursery.cancel_scope.cancel()
    assert [json.loads(line).get("index") for line in path.read_text().splitlines()] == [None, 2, 4]


async def saved(path: Path, states: int = 0) -> None:
    """Until so many are; a mocked clock does not wait for the thread that writes."""
    with trio.fail_after(1e6):
        while not path.is_file() or len(path.read_text().splitlines()) <= states:  # noqa: ASYNC110, ASYNC240
            await trio.sleep(1)


async def test_meters_that_are_made_while_it_is_saved_do_no_harm(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    file = StateFile(tmp_path / "states", 1)
    one = Fleet(FleetSettings(meters=900), start_number=1, now=lambda: NOW)
    for index in range(450):
        one.meter(index).state.counters[1] = index + 1

    async def make_meters() -> None:
        await trio.sleep(SAVE_EVERY_S)
        for index in range(450, 900):
            one.meter(index)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        await nursery.start(file.run, one.states)
        nursery.start_soon(make_meters)
        await saved(tmp_path / "states")
        assert len(file.load()) == 450
        nursery.cancel_scope.cancel()


async def test_what_cannot_be_saved_is_tried_again(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    path = tmp_path / "states"
    file = StateFile(path, 1)
    first = fleet()
    touch(first)
    path.mkdir()  # so that it cannot be replaced
    with pytest.raises(OSError, match="directory"):
        await file.run(first.states)
    path.rmdir()
    async with trio.open_nursery() as nursery:
        await nursery.start(file.run, first.states)
        path.unlink()
        path.mkdir()
        await trio.sleep(1.5 * SAVE_EVERY_S)
        path.rmdir()
        await saved(path)
        assert list(file.load()) == [2]
        nursery.cancel_scope.cancel()


def test_what_cannot_be_saved_leaves_no_half_file(tmp_path: Path) -> None:
    path = tmp_path / "states"
    path.mkdir()
    with pytest.raises(OSError, match="directory") as failed:
        StateFile(path, 1).save(fleet().states())
    assert failed.value.filename == str(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_meter_whose_state_has_no_form_keeps_nobody_elses_back(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "states", 1)
    first = fleet()
    touch(first)
    first.meter(0).state.of(POINT)["odd"] = object()
    file.save(first.states())
    assert list(file.load()) == [2]


def test_what_was_added_at_once_is_there_however_the_fleet_ends(tmp_path: Path) -> None:
    path = tmp_path / "states"
    file = StateFile(path, 1)
    first = Fleet(FleetSettings(meters=5), start_number=1, now=lambda: NOW, keeps=file.add)
    client = first.kind.main_client
    for key in (b"the next but one", b"and then another"):
        change(first.meter(4), client, keys={KeyId.GLOBAL_UNICAST_ENCRYPTION: key})
    with path.open("a", encoding="utf-8") as torn:
        torn.write('{"index":4,"st')  # killed in the midst of the next
    found = StateFile(path, 1).load()
    keyring = Keyring.of(fleet(found).meter(4))
    assert keyring.key(client, KeyId.GLOBAL_UNICAST_ENCRYPTION) == b"and then another"
    StateFile(path, 1).add(3, found[4])
    assert set(StateFile(path, 1).load()) == {3, 4}


async def test_what_is_added_while_the_file_is_written_is_in_it(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "states", 1)
    one = fleet()
    touch(one)
    file._prepare([])
    file.add(2, one.meter(2).state)
    file._replace()
    assert list(file.load()) == [2]
