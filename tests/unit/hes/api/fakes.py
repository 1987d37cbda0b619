"""
A made-up fleet behind the API: capabilities that answer from memory, deterministic for `now`.

Meter 0 has a full profile with a gap, a null, flagged and revised values; meter 1 never answered;
meter 2 only pushes, long ago; meter 3 fails in its security; the others are well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import attrs

from hes.api import Services
from hes.diagnosis import ServiceReport, ServiceState
from hes.domain.errors import StorageUnavailableError, UnknownMeterError
from hes.domain.meters import Mechanism, Policy, Transport
from hes.domain.ports import SessionOutcome, SessionPhase, SessionReport
from hes.domain.quality import Quality
from hes.domain.readings import ChannelKey, Reading, StampedAt, ValueKind, ValueStore
from hes.meters import (
    AssociationRow,
    BadCursorError,
    DueWork,
    Group,
    MeterDetail,
    MeterFilter,
    MeterPage,
    MeterRow,
    Tag,
)
from hes.readings import (
    Bucket,
    BucketPage,
    BucketRow,
    ChannelRow,
    Decision,
    EntryHandledError,
    EntryUnknownError,
    Interval,
    Latest,
    LatestRow,
    QuarantineFilter,
    QuarantinePage,
    QuarantineRow,
    ReadingPage,
    ReadingRow,
    Source,
    State,
    UnalignedZoneError,
)
from hes_protocol.cosem import Obis
from tests.unit.hes.api.fake_boards import FakeBoards
from tests.unit.hes.api.fake_changes import FakeChanges
from tests.unit.hes.api.fake_plans import FakePlans

QUARTER = timedelta(minutes=15)
PROFILE = Obis.parse("1.0.99.1.0.255")
IMPORT = Obis.parse("1.0.1.8.0.255")
EXPORT = Obis.parse("1.0.2.8.0.255")
POWER = Obis.parse("1.0.1.7.0.255")
VOLTAGE = Obis.parse("1.0.32.7.0.255")
STATUS = Obis.parse("0.0.96.10.1.255")

_DAYS = 8
_ZONES = ("Europe/Berlin", "Europe/Athens", "Europe/London")


def meter_id(index: int) -> UUID:
    """The id of the fleet's meter `index`."""
    return UUID(int=0x018F_0000_0000_7000_8000_0000_0000_0000 + index)


@attrs.frozen
class FakeStats:
    """Counts."""

    meters: int
    readings: int
    sessions_last_minute: int


@attrs.define
class FakeFleet:
    """All four capabilities. `down` makes every call fail as if the database were away."""

    now: datetime
    size: int = 100
    down: bool = False
    calls: int = 0
    replays: dict[int, Decision] = attrs.field(factory=dict)

    def services(self) -> Services:
        """The bundle for `create_app`."""
        return Services(
            inventory=_Inventory(self),
            changes=FakeChanges(self.check),
            readings=_Readings(self),
            latest=_Latest(self),
            quarantine=_Quarantine(self),
            plans=FakePlans(self.now, self.check),
            boards=FakeBoards(self.now, self.check),
            stats=_Stats(self),
            health=_Health(self),
        )

    def check(self) -> None:
        """Count a call; fail if the database is away."""
        self.calls += 1
        if self.down:
            raise StorageUnavailableError("connection to server at 10.9.8.7 failed")

    @property
    def last_quarter(self) -> datetime:
        """The end of the last whole quarter of an hour."""
        return self.now.replace(minute=self.now.minute // 15 * 15, second=0, microsecond=0)

    def row(self, index: int) -> MeterRow:
        """A meter as the list shows it."""
        pushes = index == 2
        ended = self.now - timedelta(seconds=7 + index * 13 % 50)
        outcome, cause = SessionOutcome.OK, None
        if index == 1:
            outcome, cause = SessionOutcome.TRANSPORT, "connect_refused"
        if index == 3:
            outcome, cause = SessionOutcome.SECURITY, "tag_invalid"
        if index % 41 == 17:
            outcome, cause = SessionOutcome.APPLICATION, "object_undefined"
        reading_at: datetime | None = self.last_quarter
        if index == 1:
            reading_at = None
        if pushes:
            reading_at = datetime(2024, 11, 2, 9, 30, tzinfo=UTC)
        return MeterRow(
            meter_id=meter_id(index),
            serial=f"SIM{index + 1:08}",
            system_title=bytes.fromhex(f"53494d{index + 1:010x}"),
            model="sim-solar" if index % 3 == 0 else "sim-household",
            transport=Transport.HDLC if pushes else Transport.WRAPPER,
            address=None if pushes else f"127.16.{index // 250}.{index % 250 + 1}",
            port=None if pushes else 4159,
            timezone=_ZONES[index % 3],
            state="commissioned" if index == 1 else "in_service",
            commissioned_at=self.now - timedelta(days=30),
            mechanism=Mechanism.HLS_GMAC,
            last_session_at=None if pushes else ended,
            last_outcome=None if pushes else outcome,
            last_cause=None if pushes else cause,
            last_reading_at=reading_at,
        )

    def detail(self, index: int) -> MeterDetail:
        """A meter as its page shows it."""
        row = self.row(index)
        return MeterDetail(
            row=row,
            created_at=row.commissioned_at,
            peer="192.0.2.17" if row.address is None else None,
            id_object=None,
            id_value=None,
            associations=(
                AssociationRow(
                    16, 1, Mechanism.NONE, 0, Policy.PLAIN, False, False, False, None, None
                ),
                AssociationRow(
                    1,
                    1,
                    Mechanism.HLS_GMAC,
                    0,
                    Policy.AUTHENTICATED_ENCRYPTED,
                    False,
                    True,
                    True,
                    4711,
                    5000,
                ),
            ),
            due=None
            if row.address is None
            else DueWork(self.now + timedelta(seconds=48), 3 if index == 1 else 0, None, None),
            knowledge=None,
            sessions=tuple(self._sessions(index, row)),
        )

    def _sessions(self, index: int, row: MeterRow) -> list[SessionReport]:
        if row.last_session_at is None or row.last_outcome is None:
            return []
        sessions = []
        for back in range(20):
            ended = row.last_session_at - back * timedelta(minutes=1)
            outcome, cause, phase = SessionOutcome.OK, None, SessionPhase.DONE
            if back == 0 and row.last_outcome is not SessionOutcome.OK:
                outcome, cause, phase = row.last_outcome, row.last_cause, SessionPhase.ASSOCIATE
            elif back in (6, 7):
                outcome, cause = SessionOutcome.TRANSPORT, "read_timeout"
                phase = SessionPhase.REQUEST
            sessions.append(
                SessionReport(
                    session_id=UUID(int=index * 1000 + back + 1),
                    meter_id=row.meter_id,
                    inbound=False,
                    started_at=ended - timedelta(milliseconds=180 + back * 17),
                    ended_at=ended,
                    phase=phase,
                    outcome=outcome,
                    cause=cause,
                    octets_in=1840 + back * 12,
                    octets_out=612,
                    clock_drift_s=None if outcome is SessionOutcome.TRANSPORT else 0.4 - back / 10,
                )
            )
        return sessions

    def channels(self, index: int) -> list[ChannelRow]:
        """A meter's channels, in the order of their ids."""
        if index == 1:
            return []
        last = self.row(index).last_reading_at
        assert last is not None
        first = last - timedelta(days=_DAYS)

        def channel(number: int, obis: Obis, kind: ValueKind, period_s: int) -> ChannelRow:
            unit = {IMPORT: "Wh", EXPORT: "Wh", POWER: "W", VOLTAGE: "V"}.get(obis)
            return ChannelRow(
                channel_id=index * 10 + number,
                key=ChannelKey(
                    meter_id=meter_id(index),
                    source=PROFILE if period_s else None,
                    capture_period_s=period_s,
                    obis=obis,
                    class_id=1 if obis == STATUS else 3,
                    attribute_index=2,
                    kind=kind,
                    stamped_at=StampedAt.END,
                    store=ValueStore.INTEGER,
                ),
                scaler=-1 if obis in (IMPORT, VOLTAGE) else 0,
                unit=unit,
                first_captured_at=first,
                last_captured_at=last,
            )

        return [
            channel(1, STATUS, ValueKind.STATUS, 900),
            channel(2, EXPORT, ValueKind.CUMULATIVE, 900),
            channel(3, IMPORT, ValueKind.CUMULATIVE, 900),
            channel(4, POWER, ValueKind.INSTANTANEOUS, 0),
            channel(5, VOLTAGE, ValueKind.INSTANTANEOUS, 900),
        ]

    def rows(self, channel_id: int) -> list[ReadingRow]:
        """Everything that a channel holds, oldest first."""
        index, number = divmod(channel_id, 10)
        known = {row.channel_id: row for row in self.channels(index)}
        if channel_id not in known:
            return []
        row = known[channel_id]
        assert row.last_captured_at is not None
        rows = []
        register = Decimal("6842204.5")
        count = _DAYS * 96
        for step in range(count + 1):
            at = row.last_captured_at - (count - step) * QUARTER
            register += _consumption(at, index, solar=number == 2)
            from_end = count - step
            quality, revised = 0, False
            value: Decimal | None = {
                1: Decimal(0),
                2: register,
                3: register,
                4: Decimal(300 + at.hour * 20),
                5: Decimal("230.1") + Decimal(at.minute) / 10,
            }[number]
            if index == 0 and number == 3:
                if 40 <= from_end < 46:  # never received
                    continue
                if from_end == 30:
                    value, quality = None, int(Quality.MISSING)
                if 20 <= from_end < 24:
                    quality = int(Quality.CLOCK_DOUBTFUL)
                revised = from_end == 12
            rows.append(ReadingRow(Reading(at, value, quality, revised), row.unit))
        return rows


def _consumption(at: datetime, index: int, *, solar: bool) -> Decimal:
    hour = at.hour + at.minute / 60
    if solar:
        watt_hours = max(0.0, 500 * math.sin((hour - 6.5) / 12 * math.pi)) if 6 < hour < 19 else 0.0
    else:
        watt_hours = (
            60
            + 190 * math.exp(-(((hour - 6.5) / 1.3) ** 2))
            + 430 * math.exp(-(((hour - 18.5) / 1.9) ** 2))
            + 25 * math.sin(step_noise(at, index))
        )
    return Decimal(round(watt_hours * 10)).scaleb(-1)


def step_noise(at: datetime, index: int) -> float:
    """A phase that looks random and is not."""
    return (at.timestamp() / 900 * 12.9898 + index * 78.233) % 628.3


@attrs.frozen
class _Inventory:
    fleet: FakeFleet

    def page(
        self, cursor: str | None, limit: int, search: str | None, wanted: MeterFilter
    ) -> MeterPage:
        self.fleet.check()
        rows = [self.fleet.row(index) for index in range(self.fleet.size)]
        if wanted.state is not None:
            rows = [row for row in rows if row.state == wanted.state]
        if search:
            rows = [row for row in rows if search.lower() in f"{row.serial} {row.address}".lower()]
        start = 0
        if cursor is not None:
            if not cursor.isdigit():
                raise BadCursorError(cursor)
            start = int(cursor)
        more = start + limit < len(rows)
        return MeterPage(
            items=tuple(rows[start : start + limit]),
            next_cursor=str(start + limit) if more else None,
            total_estimate=len(rows),
        )

    def get(self, meter_id: UUID) -> MeterDetail:
        self.fleet.check()
        index = _index(meter_id)
        if not 0 <= index < self.fleet.size:
            raise UnknownMeterError(f"no meter {meter_id}")
        return self.fleet.detail(index)

    def groups(self) -> Sequence[Group]:
        self.fleet.check()
        return [Group(1, "north", 3)]

    def tags(self) -> Sequence[Tag]:
        self.fleet.check()
        return [Tag("solar", 2)]


def _index(of: UUID) -> int:
    return of.int - meter_id(0).int


@attrs.frozen
class _Readings:
    fleet: FakeFleet

    def channels(self, meter_id: UUID) -> Sequence[ChannelRow]:
        self.fleet.check()
        index = _index(meter_id)
        return self.fleet.channels(index) if 0 <= index < self.fleet.size else []

    def page(
        self,
        channel_id: int,
        from_: datetime | None,
        to: datetime | None,
        after: datetime | None,
        limit: int,
    ) -> ReadingPage:
        self.fleet.check()
        rows = [
            row
            for row in self.fleet.rows(channel_id)
            if (from_ is None or row.reading.captured_at >= from_)
            and (to is None or row.reading.captured_at < to)
            and (after is None or row.reading.captured_at > after)
        ]
        return ReadingPage(items=tuple(rows[:limit]), has_more=len(rows) > limit)

    def rolled(
        self,
        channel_id: int,
        interval: Interval,
        zone: str | None,
        from_: datetime | None,
        to: datetime | None,
        after: datetime | None,
        limit: int,
    ) -> BucketPage:
        """Hours that add up; the other intervals, and what the zone does, are the storage's."""
        self.fleet.check()
        if zone == "Asia/Kolkata":
            raise UnalignedZoneError(zone)
        rows = []
        for row in self.fleet.rows(channel_id):
            start, value = row.reading.captured_at, row.reading.value
            wanted = (
                start.minute == self.fleet.last_quarter.minute
                and (from_ is None or start >= from_)
                and (to is None or start < to)
                and (after is None or start > after)
            )
            if wanted and isinstance(value, Decimal):
                end = start + timedelta(hours=1)
                values = (value, value + 2, value, value + 2, Decimal("2.50"))
                bucket = Bucket(start, end, 30, *values, 4, 4, 0, row.reading.quality)
                rows.append(BucketRow(bucket, Decimal("2.50"), f"{row.unit}/{interval.value}"))
        return BucketPage(tuple(rows[:limit]), has_more=len(rows) > limit)


@attrs.frozen
class _Latest:
    fleet: FakeFleet

    def read(self, meter_ids: Iterable[UUID]) -> Latest:
        self.fleet.check()
        rows = {}
        for one in meter_ids:
            index = _index(one)
            channels = self.fleet.channels(index) if 0 <= index < self.fleet.size else []
            rows[one] = [
                LatestRow(channel.channel_id, channel.key, held[-1].reading, held[-1].unit)
                for channel in channels
                if (held := self.fleet.rows(channel.channel_id))
            ]
        return Latest(rows, Source.CACHE)


@attrs.frozen
class _Quarantine:
    fleet: FakeFleet

    def request_replay(self, quarantine_id: int, decision: Decision) -> QuarantineRow:
        self.fleet.check()
        if quarantine_id > 70:
            raise EntryUnknownError(f"no entry {quarantine_id}")
        if quarantine_id < 3:
            raise EntryHandledError(f"entry {quarantine_id} is dropped")
        self.fleet.replays[quarantine_id] = decision
        return self.page(quarantine_id + 1, 1).items[0]

    def page(
        self, before: int | None, limit: int, wanted: QuarantineFilter | None = None
    ) -> QuarantinePage:
        self.fleet.check()
        wanted = wanted or QuarantineFilter()
        reasons = ("unknown_meter", "before_window", "after_window", "malformed")
        rows = []
        for number in range(70, 0, -1):
            if before is not None and number >= before:
                continue
            known = number % 2 == 0
            received_at = self.fleet.now - timedelta(seconds=(71 - number) ** 2)
            request = self.fleet.replays.get(number)
            state = State.DROPPED if number < 3 else State.OPEN
            if (
                wanted.meter_id not in (None, meter_id(number) if known else None)
                or wanted.reason not in (None, reasons[number % 4])
                or wanted.state not in (None, state)
                or (wanted.since is not None and received_at < wanted.since)
            ):
                continue
            raw = bytes.fromhex("7ea0840201131085f1e6e700dc0000000c07e80b02") * (1 + number % 6)
            rows.append(
                QuarantineRow(
                    quarantine_id=number,
                    meter_id=meter_id(number) if known else None,
                    serial=f"SIM{number + 1:08}" if known else None,
                    identity=None if known else f"4b464d1020{number:06x}",
                    peer="127.0.0.1",
                    reason=reasons[number % 4],
                    raw=raw[:64],
                    raw_octets=len(raw),
                    detail=None,
                    received_at=received_at,
                    session_id=None,
                    has_rows=False,
                    state=state,
                    handled_at=None if state is State.OPEN else self.fleet.now,
                    handled_by=None if state is State.OPEN else "ann",
                    handled_why=None if state is State.OPEN else "noise",
                    batch_id=None,
                    requested_at=request and self.fleet.now,
                    requested_by=request and request.by,
                    requested_why=request and request.why,
                    any_time=False,
                    attempted_at=None,
                    attempt_said=None,
                )
            )
        return QuarantinePage(items=tuple(rows[:limit]), has_more=len(rows) > limit)


@attrs.frozen
class _Stats:
    fleet: FakeFleet

    def read(self) -> FakeStats:
        self.fleet.check()
        return FakeStats(self.fleet.size, self.fleet.size * 4 * 96 * _DAYS, self.fleet.size - 4)


@attrs.frozen
class _Health:
    fleet: FakeFleet

    def read(self) -> Sequence[ServiceReport]:
        state = ServiceState.AWAY if self.fleet.down else ServiceState.OK
        return [
            ServiceReport("database", state, "answers"),
            ServiceReport("cache", ServiceState.DEGRADED, "settled 60 s ago"),
        ]
