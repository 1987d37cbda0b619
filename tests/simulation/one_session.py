"""
One session with one small meter of which all is known, over a line in some weather.

For tests that try a fault at every place of a session: each is a fresh meter and a fresh model of
the database that are as all others are.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

import attrs
import trio
from trio.testing import MockClock

from hes.domain.errors import StorageUnavailableError
from hes.domain.meters import MeterKnowledge
from hes_collectors.dlms import Deadlines
from hes_collectors.dlms.briefing import briefs
from hes_collectors.dlms.session import Session, SessionResult
from hes_simulators.faults import Fault, Rule
from hes_simulators.truth.rows import LOAD_PROFILE
from tests.simulation.database import Unreliable
from tests.simulation.determinism import Chances, one_schedule
from tests.simulation.history import History
from tests.simulation.meters import SimulatedMeter
from tests.simulation.process import Process
from tests.simulation.scheduling import ENTRIES, PERIOD_S
from tests.simulation.wire import Line, Weather
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.support import START, context, wall_clock

LEASE_S: Final = 180.0
ROWS: Final = 4
_MARK: Final = START - timedelta(seconds=START.timestamp() % PERIOD_S + ROWS * PERIOD_S)


class Scene:
    """
    A meter that has captured `ROWS` rows since it was read last, and what storage knows of it.

    Args: known: what it is; None: it was never read, a session begins by learning that.
    """

    def __init__(
        self, known: MeterKnowledge | None, *, hdlc: bool = False, pdu_octets: int = 512
    ) -> None:
        self.history = History()
        self.meter = SimulatedMeter(
            0, 0, self.history, troubled=False, hdlc=hdlc, pdu_octets=pdu_octets
        )
        self.storage = FakeStorage(wall_clock)
        self.database = Unreliable(self.storage, Chances(0, armed=0.0), self.history)
        meter_id = self.meter.meter_id
        self.storage.add_meter(self.meter.inventory(), self.meter.secrets())
        self.storage.own_counters[meter_id] = 1  # this key has counted: nobody asks for a hint
        if known is not None:
            self.storage.knowledge[meter_id] = known
            self.storage.marks[meter_id, LOAD_PROFILE] = _MARK
        self.lines: list[Line] = []
        self._known = known is not None

    def let(self, fault: Fault) -> None:
        """From now on the meter does this wrong."""
        self.meter.kind.faults.add(Rule(name=fault.name, fault=fault))

    async def session(self, weather: Weather | None = None, **changes: Any) -> SessionResult:
        """One session; `changes` of the collector's settings."""
        process = Process("collector", self.history, 0.0)
        result = await self.session_of(process, weather, **changes)
        assert result is not None
        return result

    async def session_of(
        self, process: Process, weather: Weather | None = None, **changes: Any
    ) -> SessionResult | None:
        """As `session`, of a process; None: it has died."""
        ports, result = self.database.ports(process), None
        async with trio.open_nursery() as nursery:

            async def connect(*_: object) -> trio.abc.Stream:
                await trio.lowlevel.checkpoint()
                line = Line(weather or Weather())
                self.lines.append(line)
                nursery.start_soon(self.meter.serve, line, len(self.lines))
                meter = self.meter
                return process.stream(line, meter.meter_id, len(self.lines), meter.keys_seen())

            surroundings = attrs.evolve(context(self.storage, connect, **changes), ports=ports)
            # What the dead hear last.
            with process.scope, suppress(StorageUnavailableError):
                until = trio.current_time() + LEASE_S
                leases = ports.leases.take(holder="test", limit=1, lease_s=LEASE_S)
                [known] = briefs(ports, leases, block_size=surroundings.settings.counter_block_size)
                result = await Session(surroundings, leases[0], until, known=known).run()
                assert all(line.near.closed for line in self.lines)
                ports.leases.release(leases)
            nursery.cancel_scope.cancel()
        return result if process.alive else None

    def stored(self) -> dict[tuple[datetime, str], Any]:
        """What is stored of the load profile."""
        return {
            (at, str(key.obis)): value.value
            for (key, at), value in self.storage.values.items()
            if key.source == LOAD_PROFILE
        }

    def truth(self) -> dict[tuple[datetime, str], Any]:
        """What a session should find: the rows behind the mark; of an unread meter, its buffer."""
        rows = self.meter.captured(wall_clock())[-ENTRIES:]
        return {
            (row.captured_at, obis): value
            for row in rows
            if not self._known or row.captured_at > _MARK
            for obis, value in row.values.items()
        }


def run(act: Callable[[], Any]) -> Any:
    """Run an async function of no arguments under a clock that jumps, always in the same way."""
    with one_schedule(0):
        return trio.run(act, clock=MockClock(autojump_threshold=0))


async def learnt() -> MeterKnowledge:
    """What a first session learns of these meters."""
    scene = Scene(None)
    await scene.session()
    return scene.storage.knowledge[scene.meter.meter_id]


PATIENT: Final = Deadlines(request_s=100.0, associate_s=100.0, release_s=50.0)
