"""
Row 38 of the catalogue of faults, end to end: real sessions, a real database.

A clock that has drifted, one that somebody set forward over boundaries, one that somebody set back.
Nothing that a meter captured is lost or lands in another interval; the intervals in which a clock
was moved say so, and no others; what never was is given up as that.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

import attrs
import trio

from hes.domain.quality import Quality
from hes.domain.work import Gap
from hes.keys import KeyService
from hes.meters import Inventory
from hes.models import models
from hes.pipeline import DirectBus
from hes.storage import due_items, losses
from hes.storage.database import Database
from hes_collectors.dlms import run
from hes_simulators import Fleet, rows
from hes_simulators.scenario.local import step_clock
from hes_simulators.truth.rows import LOAD_PROFILE
from tests.integration.test_collector import collector, fleet_of, ports_on, statements, until

MODEL = next(model for model in models() if model.name == "idis-single-phase")
QUARTER = timedelta(minutes=15)
HOURS = timedelta(hours=1)


async def test_clocks_are_set_and_what_they_touched_is_marked(
    database: Database, keys: KeyService, inventory: Inventory
) -> None:
    behind = [4 * HOURS]  # everybody's time
    started = datetime.now(UTC)
    # So that no session has to wait for the next interval.
    begun = (started - behind[0]).replace(minute=5, second=0, microsecond=0)
    behind[0] = started - begun

    def now() -> datetime:
        return datetime.now(UTC) - behind[0]

    def execute(statement: str, *values: object) -> list[tuple[Any, ...]]:
        with database.connection() as connection:
            found = connection.execute(statement, values)
            return found.fetchall() if found.description else []

    async def read_again(fleet: Fleet) -> None:
        idle = lambda: not execute("SELECT 1 FROM due_work WHERE token IS NOT NULL")  # noqa: E731
        await until(idle)
        sessions = fleet.counters.sessions
        ids = [meter_id for (meter_id,) in execute("SELECT meter_id FROM meter")]

        def make_due() -> None:
            with database.connection() as connection:
                due_items.put_in_service(connection, ids)

        await trio.to_thread.run_sync(make_due)
        await until(lambda: fleet.counters.sessions >= sessions + len(ids))
        await until(idle)

    with DirectBus(database) as sink:
        surroundings = attrs.evolve(
            collector(ports_on(database, keys, sink)), models={MODEL.name: MODEL}, now=now
        )
        async with (
            fleet_of(4, inventory, now, model=MODEL.name) as fleet,
            trio.open_nursery() as nursery,
        ):
            right, slow, forward, back = fleet.all_meters()
            for meter, by_s in ((slow, -40), (forward, 0), (back, 0)):
                step_clock(meter, now(), by_s * 1_000_000)
            await nursery.start(run, surroundings)
            await until(
                lambda: len(execute("SELECT 1 FROM clock_change WHERE outcome = 'done'")) == 1
            )
            behind[0] -= HOURS / 2
            await read_again(fleet)
            # What others do: over two boundaries, beyond what we set right in a session.
            step_clock(forward, now(), 35 * 60 * 1_000_000)
            step_clock(back, now(), -35 * 60 * 1_000_000)
            for _ in range(3):
                behind[0] -= HOURS
                await read_again(fleet)
            nursery.cancel_scope.cancel()
        truth = _captured(fleet, begun, now() - timedelta(minutes=2))

    said = {key: told for key, told in statements(database).items() if key in truth}
    assert said == truth
    serial_of = {meter.identity.serial: meter for meter in (right, slow, forward, back)}
    assert len(serial_of) == 4

    def changes(meter: Any) -> list[tuple[Any, ...]]:
        return execute(
            "SELECT how, outcome, round(extract(epoch FROM after_at - before_at)) FROM clock_change"
            " JOIN meter USING (meter_id) WHERE serial = %s ORDER BY at",
            meter.identity.serial,
        )

    assert changes(right) == []
    assert [row[1] for row in changes(slow)] == ["done"]
    assert {row[2] for row in changes(forward)} == {-60}
    assert {row[2] for row in changes(back)} == {60}

    flagged = {
        serial: {at for (_, at) in group}
        for serial, group in groupby(
            execute(
                "SELECT DISTINCT m.serial, r.captured_at FROM reading AS r"
                " JOIN series USING (series_id) JOIN channel AS c USING (channel_id)"
                " JOIN meter AS m USING (meter_id) WHERE c.source = %s AND r.quality & %s <> 0"
                " ORDER BY 1, 2",
                LOAD_PROFILE.octets,
                int(Quality.CLOCK_ADJUSTED),
            ),
            key=lambda row: row[0],
        )
    }
    assert right.identity.serial not in flagged
    assert flagged[slow.identity.serial] == {begun.replace(minute=15)}
    assert flagged[forward.identity.serial]
    assert flagged[back.identity.serial]

    # What the clock that was set forward has never shown is given up for that.
    [(meter_id,)] = execute("SELECT meter_id FROM meter WHERE serial = %s", forward.identity.serial)
    assert isinstance(meter_id, UUID)
    _judge_and_give_up(database, meter_id, begun, now())
    reasons = execute("SELECT DISTINCT reason FROM interval_loss WHERE meter_id = %s", meter_id)
    assert reasons == [("clock-change",)]


def _captured(
    fleet: Fleet, from_: datetime, to: datetime
) -> dict[tuple[str, datetime, str], list[int]]:
    told: dict[tuple[str, datetime, str], list[int]] = {}
    for meter in fleet.all_meters():
        for row in rows(meter, from_, to):
            for obis, value in row.values.items():
                # What bears a time that is yet to come is asked for when it has come.
                if "/" not in obis and row.captured_at < to:
                    key = (row.serial, row.captured_at, bytes(map(int, obis.split("."))).hex())
                    told.setdefault(key, []).append(value)
    return {key: [value for value, _ in groupby(values)] for key, values in told.items()}


def _judge_and_give_up(database: Database, meter_id: UUID, from_: datetime, to: datetime) -> None:
    """As the scheduler would: drifts, what is overdue, what the meter has answered for."""
    from hes.plans import judging
    from hes.storage import clock_changes

    with database.connection() as connection:
        clock_changes.note_leaps(connection, from_ - HOURS, to + HOURS)
        connection.execute(
            "INSERT INTO expectation (meter_id, source, since, capture_period_s, plan_id, zone)"
            " VALUES (%s, %s, %s, 900, 99, 'UTC')",
            (meter_id, LOAD_PROFILE.octets, from_ + QUARTER),
        )
        connection.execute(
            "INSERT INTO plan_run (plan_id, zone, run_at, deadline_at, ends_at)"
            " VALUES (99, 'UTC', %s, %s, %s)",
            (to - HOURS, to, to),
        )
        judging.judge(connection, to)
        grid = from_.replace(minute=0)
        losses.answered(connection, [(meter_id, Gap(LOAD_PROFILE, grid, grid + 5 * HOURS))])
