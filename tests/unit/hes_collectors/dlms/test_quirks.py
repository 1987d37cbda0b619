"""Meters that do otherwise than the standard, read end to end by what their model says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

import hes_simulators as sim
from hes.domain.meters import ProfileAccess
from hes.domain.ports import SessionOutcome
from hes.domain.quality import Quality
from hes_collectors.dlms.profiles import ways
from hes_collectors.dlms.session import Session, SessionResult
from hes_protocol.cosem import CosemDateTime, EntrySelection, Obis, RangeSelection
from hes_protocol.cosem.date_time import DEVIATION_UNSPECIFIED
from hes_protocol.models import Model
from hes_protocol.profile import NullMeaning
from hes_protocol.quirks import STANDARD, ByClient, Deviation, Quirks, SelectionBy
from hes_protocol.server import ActionRequested
from hes_simulators.truth.rows import LOAD_PROFILE
from tests.unit.hes_collectors import support
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.simulated import SimulatedMeter, network
from tests.unit.hes_collectors.support import context, wall_clock

PROFILE_CLASS = 7
ENTRY_ONLY = Quirks(selection=SelectionBy.ENTRY)
RANGE_ONLY = Quirks(selection=SelectionBy.RANGE)
REFUSED = Quirks(deviation=Deviation.REFUSED)
REQUIRED = Quirks(deviation=Deviation.REQUIRED)
STANDARD_TIME = Quirks(standard_time=True)
COMPRESSED = Quirks(null_means=NullMeaning.PREVIOUS)
AUTUMN = datetime(2026, 10, 24, 23, 1, tzinfo=UTC)  # 01:01 in Berlin, before the repeated hour
SPRING = datetime(2026, 3, 28, 23, 1, tzinfo=UTC)


def known(meter: SimulatedMeter, storage: FakeStorage | None = None) -> FakeStorage:
    storage = storage or FakeStorage(wall_clock)
    storage.add_meter(attrs.evolve(meter.inventory(), model="m"), meter.secrets())
    storage.own_counters[meter.meter_id] = 0
    return storage


async def session(
    storage: FakeStorage, meter: SimulatedMeter, quirks: Quirks, **changes: Any
) -> SessionResult:
    """One session of a collector that knows `quirks` of the meter's model."""
    storage.due.put_in_service([meter.meter_id])
    [lease] = storage.ports().leases.take(holder="test", limit=1, lease_s=180)
    async with network(meter) as reached:
        surroundings = attrs.evolve(
            context(storage, reached.connect, **changes),
            models={"m": Model("m", "maker", "source", quirks=quirks)},
        )
        result = await Session(surroundings, lease, trio.current_time() + 180).run()
    work = storage.work[meter.meter_id]
    work.token, work.leased_until = None, None
    return result


def stored(storage: FakeStorage) -> dict[tuple[Any, str], Any]:
    return {
        (at, str(key.obis)): kept.value
        for (key, at), kept in storage.values.items()
        if key.source == LOAD_PROFILE
    }


def truth(meter: SimulatedMeter) -> dict[tuple[Any, str], Any]:
    return {
        (row.captured_at, obis): value
        for row in meter.truth()
        for obis, value in row.values.items()
    }


def selections(meter: SimulatedMeter) -> list[RangeSelection | EntrySelection]:
    """What was asked of the buffer in the last session."""
    found = [event.selection for event in meter.gets(PROFILE_CLASS) if event.attribute.index == 2]
    return [selection for selection in found if selection is not None]


def deviations(meter: SimulatedMeter) -> set[bool]:
    """Whether the bounds of the ranges that were asked for have a deviation."""
    return {
        CosemDateTime.from_octets(bound.value).deviation_min != DEVIATION_UNSPECIFIED
        for selection in selections(meter)
        if isinstance(selection, RangeSelection)
        for bound in (selection.from_, selection.to)
    }


# --- by the model -----------------------------------------------------------------------------


@pytest.mark.conformance("selection-by-entry", "client", "server")
@pytest.mark.parametrize("rows", [7, 96])
async def test_a_meter_that_selects_by_entry_only_is_asked_by_entry(
    rows: int, autojump_clock: MockClock
) -> None:
    meter = SimulatedMeter.of(quirks=ENTRY_ONLY)
    storage = known(meter)
    result = await session(storage, meter, ENTRY_ONLY, rows_per_request=rows)
    assert result.report.outcome is SessionOutcome.OK
    assert stored(storage).items() >= truth(meter).items()
    assert all(isinstance(selection, EntrySelection) for selection in selections(meter))
    assert storage.revisions == []
    await trio.sleep(3600)
    result = await session(storage, meter, ENTRY_ONLY, rows_per_request=rows)
    assert result.stored == 4 * 5
    assert len(selections(meter)) == 2  # one look, one piece
    assert stored(storage).items() >= truth(meter).items()
    assert storage.revisions == []


@pytest.mark.conformance("deviation-refused", "client", "server")
@pytest.mark.parametrize(("quirks", "given"), [(REFUSED, False), (REQUIRED, True)])
async def test_bounds_of_a_range_are_as_the_model_wants_them(
    quirks: Quirks, given: bool, autojump_clock: MockClock
) -> None:
    meter = SimulatedMeter.of(quirks=quirks)
    storage = known(meter)
    result = await session(storage, meter, quirks)
    assert result.report.outcome is SessionOutcome.OK
    assert stored(storage).items() >= truth(meter).items()
    assert deviations(meter) == {given}


@pytest.mark.conformance("null-means", "client", "server")
@pytest.mark.parametrize(
    "quirks", [COMPRESSED, attrs.evolve(ENTRY_ONLY, null_means=NullMeaning.PREVIOUS)]
)
async def test_null_cells_are_what_the_row_before_was(
    quirks: Quirks, autojump_clock: MockClock
) -> None:
    meter = SimulatedMeter.of(quirks=quirks)
    storage = known(meter)
    result = await session(storage, meter, quirks)
    assert result.report.outcome is SessionOutcome.OK
    assert stored(storage).items() >= truth(meter).items()
    qualities = {kept.quality for kept in storage.values.values()}
    assert qualities <= {0, int(Quality.CLOCK_INFERRED)}
    assert storage.revisions == []


@pytest.mark.conformance("null-means", "client")
async def test_a_null_is_missing_where_no_model_says_otherwise(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of(quirks=COMPRESSED)
    storage = known(meter)
    assert (await session(storage, meter, STANDARD)).report.outcome is SessionOutcome.OK
    captured = truth(meter)
    for key, value in stored(storage).items():
        assert key not in captured or value in (None, captured[key])
    assert None in stored(storage).values()


@pytest.mark.conformance("empty-system-title", "client", "server")
@pytest.mark.conformance("no-rlrq", "client", "server")
@pytest.mark.conformance("hls-object", "client", "server")
@pytest.mark.conformance("counter-object", "client", "server")
async def test_the_odd_ones_associate_and_release(autojump_clock: MockClock) -> None:
    elsewhere = ByClient(Obis.parse("0.0.40.0.4.255"))
    quirks = Quirks(
        empty_system_title=True,
        no_rlrq=True,
        hls_object=elsewhere,
        counter_object=ByClient(None, {1: Obis.parse("0.0.43.1.4.255")}),
    )
    meter = SimulatedMeter.of(quirks=quirks)
    meter.meter.state.counters[1] = 70_000
    storage = known(meter)
    del storage.own_counters[meter.meter_id]
    result = await session(storage, meter, quirks)
    assert (result.report.outcome, result.report.cause) == (SessionOutcome.OK, None)
    assert not meter.released  # it was told nothing
    assert not [event for event in meter.events if isinstance(event, ActionRequested)]
    assert meter.meter.state.counters[1] > 70_000
    assert stored(storage).items() >= truth(meter).items()
    # Whoever does not know it comes nowhere: the title of an empty AARE must be known.
    assert (await session(storage, meter, STANDARD)).report.outcome is not SessionOutcome.OK


# --- learnt -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quirks", "access"),
    [
        (ENTRY_ONLY, ProfileAccess.ENTRY),
        (REFUSED, ProfileAccess.RANGE_WITHOUT_DEVIATION),
        (REQUIRED, None),
        (RANGE_ONLY, None),
    ],
)
@pytest.mark.conformance("selection-by-entry", "client")
@pytest.mark.conformance("deviation-refused", "client")
async def test_what_a_meter_refuses_is_asked_otherwise_and_remembered(
    quirks: Quirks, access: ProfileAccess | None, autojump_clock: MockClock
) -> None:
    """No model says it: a refused selection is no refused meter (users-ask, point 14)."""
    meter = SimulatedMeter.of(quirks=quirks)
    storage = known(meter)
    result = await session(storage, meter, STANDARD)
    assert result.report.outcome is SessionOutcome.OK
    assert stored(storage).items() >= truth(meter).items()
    [profile] = storage.knowledge[meter.meter_id].profiles
    assert profile.access is access
    await trio.sleep(900)
    assert (await session(storage, meter, STANDARD)).report.outcome is SessionOutcome.OK
    assert len(selections(meter)) == (2 if access is ProfileAccess.ENTRY else 1)
    assert stored(storage).items() >= truth(meter).items()


def test_ways_follow_the_model_and_then_what_was_learnt() -> None:
    every = (ProfileAccess.RANGE, ProfileAccess.RANGE_WITHOUT_DEVIATION, ProfileAccess.ENTRY)
    assert ways(STANDARD, None) == every
    assert ways(STANDARD, ProfileAccess.ENTRY) == (every[2], every[0], every[1])
    assert ways(ENTRY_ONLY, ProfileAccess.RANGE) == (ProfileAccess.ENTRY,)
    assert ways(RANGE_ONLY, None) == every[:2]
    assert ways(REFUSED, ProfileAccess.RANGE) == every[1:]
    assert ways(REQUIRED, None) == (ProfileAccess.RANGE, ProfileAccess.ENTRY)


# --- when clocks change -----------------------------------------------------------------------


@pytest.fixture(params=[AUTUMN, SPRING], ids=["autumn", "spring"])
def transition(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock begins an hour before the clocks change."""
    monkeypatch.setattr(support, "START", request.param)


@pytest.mark.usefixtures("transition")
@pytest.mark.conformance("selection-by-entry", "client")
@pytest.mark.conformance("deviation-refused", "client")
@pytest.mark.conformance("standard-time", "client", "server")
@pytest.mark.parametrize(
    "quirks",
    [
        ENTRY_ONLY,
        REFUSED,
        attrs.evolve(ENTRY_ONLY, null_means=NullMeaning.PREVIOUS),
        STANDARD_TIME,
        attrs.evolve(ENTRY_ONLY, standard_time=True),
        attrs.evolve(REFUSED, standard_time=True, null_means=NullMeaning.PREVIOUS),
    ],
    ids=[
        "entry",
        "without deviation",
        "compressed",
        "standard time",
        "standard time by entry",
        "standard time, refused and compressed",
    ],
)
async def test_no_row_is_missed_or_doubled_when_clocks_change(
    quirks: Quirks, autojump_clock: MockClock
) -> None:
    """A session every quarter of an hour over the hour that comes twice, or never."""
    meter = SimulatedMeter.of(quirks=quirks)
    storage = known(meter)
    for _ in range(4 * 4):
        report = (await session(storage, meter, quirks)).report
        assert (report.outcome, report.clock_drift_s) == (SessionOutcome.OK, 0.0)
        await trio.sleep(900)
    late = wall_clock() - timedelta(minutes=16)
    captured = {key: value for key, value in truth(meter).items() if key[0] < late}
    assert stored(storage).items() >= captured.items()
    assert storage.revisions == []


@pytest.mark.conformance("standard-time", "client")
async def test_without_the_models_word_a_summer_of_standard_time_is_an_hour_off(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that such a meter sends tells it: that is what the flag is for."""
    monkeypatch.setattr(support, "START", datetime(2026, 7, 1, tzinfo=UTC))
    meter = SimulatedMeter.of(quirks=STANDARD_TIME)
    storage = known(meter)
    assert (await session(storage, meter, STANDARD)).report.clock_drift_s == -3600
    hour = timedelta(hours=1)
    shown = {(at + hour, obis): value for (at, obis), value in stored(storage).items()}
    assert shown.items() & truth(meter).items()


@pytest.mark.conformance("hls-md5", "client", "server")
@pytest.mark.conformance("hls-sha1", "client", "server")
@pytest.mark.conformance("hls-sha256", "client", "server")
@pytest.mark.parametrize("security", [sim.Security.MD5, sim.Security.SHA1, sim.Security.SHA256])
async def test_a_wrong_secret_opens_nothing(
    security: sim.Security, autojump_clock: MockClock
) -> None:
    meter = SimulatedMeter.of(0, security)
    storage = known(meter)
    assert (await session(storage, meter, STANDARD)).report.outcome is SessionOutcome.OK
    wrong = attrs.evolve(storage.secrets[meter.meter_id], secret=b"another")
    storage.secrets[meter.meter_id] = wrong
    result = await session(storage, meter, STANDARD)
    assert result.report.outcome is SessionOutcome.SECURITY
    assert meter.gets(PROFILE_CLASS) == []
