"""
A whole collection engine in one process: collectors, meters, wire, database; all from one seed.

First everything goes wrong that the seed has armed. Then it is calm, and the engine has `CALM_S` to
come to an end: whatever can be read is held by then. Who judges is `checker`; here things happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from ipaddress import IPv4Address
from itertools import count
from random import Random
from typing import Any, Final

import attrs
import trio
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from trio.testing import MockClock

import hes_simulators as sim
from hes.domain.errors import StorageUnavailableError
from hes_collectors.dlms import CollectorMetrics, CollectorSettings, Context, StorageGate
from hes_collectors.dlms.dialled import Dialled
from hes_collectors.dlms.inbound import InboundServer
from hes_collectors.dlms.outbound import run_outbound
from hes_collectors.dlms.settler import settling
from tests.simulation.database import Unreliable
from tests.simulation.determinism import Chances, one_schedule, stream
from tests.simulation.history import History
from tests.simulation.meters import SimulatedMeter, drawn_delay
from tests.simulation.process import Process, ProcessThreads, skewed
from tests.simulation.scheduling import Scheduler
from tests.simulation.wire import Line, Weather
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.support import settings, wall_clock

TROUBLED_S: Final = 5 * 3600.0
CALM_S: Final = 1.5 * 3600.0
_PEER: Final = IPv4Address("192.0.2.7")
_LOOK_S: Final = 60.0
_OPERATOR_S: Final = 1800.0


@attrs.frozen
class Outcome:
    """What a simulation leaves to be judged; `captured` by meter, `stored` the model's rows."""

    seed: int
    history: History
    captured: dict[int, list[sim.TruthRow]]
    storage: FakeStorage
    scheduler: Scheduler
    logs: Sequence[Any]


def simulate(seed: int, *, troubled: bool = True) -> Outcome:
    """Let one seed happen."""
    with one_schedule(seed), capture_logs() as logs:
        world = World(seed, troubled=troubled)
        trio.run(world.run, clock=MockClock(autojump_threshold=0))
    return world.outcome(logs)


async def _collect(process: Process, context: Context) -> None:
    """What `hes_collectors.dlms.run` starts, without a socket."""
    async with settling(context) as settler, trio.open_nursery() as nursery:
        dialled = Dialled(context, settler)
        server = InboundServer(context, dialled)

        def listener(stream: trio.abc.Stream) -> None:
            nursery.start_soon(server.serve, stream, _PEER)

        process.listener = listener
        nursery.start_soon(dialled.run)
        nursery.start_soon(run_outbound, context, settler)


class World:
    """Everything there is."""

    def __init__(self, seed: int, *, troubled: bool) -> None:
        random = stream(seed, "world")
        self.seed = seed
        self.history = History()
        self.chances = Chances(seed)
        self.chances.calm = not troubled
        self.storage = FakeStorage(wall_clock)
        self.database = Unreliable(self.storage, self.chances, self.history)
        self.scheduler = Scheduler(self.storage, self.history)
        self.meters = [
            SimulatedMeter(seed, index, self.history, troubled=troubled, may_dial=True)
            for index in range(random.randint(1, 3))
        ]
        self._connected = trio.Event()
        self._unjumped = list(self.meters)
        self._names = [f"collector-{n}" for n in range(random.randint(1, 2))]
        self._processes: dict[str, Process] = {}
        self._random = stream(seed, "troubles")
        self._line_random = stream(seed, "lines")
        self._delays = stream(seed, "delays")
        self._connections = count(1)
        self._by_address = {meter.inventory().address: meter for meter in self.meters}
        self._captured: dict[int, list[sim.TruthRow]] = {}

    async def run(self) -> None:
        """From the first session to the end of the calm."""
        for meter in self.meters:
            self.storage.add_meter(meter.inventory(), meter.secrets())
            meter.misbehave()
        async with trio.open_nursery() as meters, trio.open_nursery() as nursery:
            nursery.start_soon(self._schedule)
            nursery.start_soon(self._operate)
            for name in self._names:
                nursery.start_soon(self._collector, name, meters)
            for meter in self.meters:
                if meter.dials_in:
                    nursery.start_soon(self._dial_in, meter)
            with trio.move_on_after(TROUBLED_S):
                await self._troubles()
            self._calm()
            await trio.sleep(CALM_S)
            for meter in self.meters:
                self._captured[meter.meter_id.int] = meter.captured(wall_clock())
            self.history.note("world", "ends")
            nursery.cancel_scope.cancel()
            meters.cancel_scope.cancel()

    def outcome(self, logs: Sequence[Any]) -> Outcome:
        """What is left."""
        return Outcome(self.seed, self.history, self._captured, self.storage, self.scheduler, logs)

    async def _schedule(self) -> None:
        """The leader; it dies with its database, and another one goes on."""
        while True:
            if not self.chances.strikes("scheduler-late", 0.1):
                with suppress(StorageUnavailableError):
                    self.scheduler.look()
            await trio.sleep(_LOOK_S)

    async def _operate(self) -> None:
        """Somebody looks after meters that were put aside, and finds nothing wrong with them."""
        while True:
            await trio.sleep(_OPERATOR_S)
            due = self.storage.due
            if due.quarantined and not self.storage.away:
                self.history.note("operator", "releases", meters=sorted(map(str, due.quarantined)))
                due.put_in_service(list(due.quarantined))

    # --- collectors -----------------------------------------------------------------------------

    async def _collector(self, name: str, meters: trio.Nursery) -> None:
        """One collector, started anew whenever it has ended."""
        for start in count():
            random = stream(self.seed, f"{name}/{start}")
            process = Process(name, self.history, 0.0 if self.chances.calm else skewed(random))
            self._processes[name] = process
            self.history.note(name, "starts")
            context = self._context(process, random, meters)
            with process.scope:
                await _collect(process, context)
            process.listener = None
            process.alive = False
            await trio.sleep(random.choice((0.5, 5.0, 60.0)))

    def _context(self, process: Process, random: Random, meters: trio.Nursery) -> Context:
        def threads() -> ProcessThreads:
            return ProcessThreads(process, 4, self._database_delay)

        async def connect(host: str, port: int, _: CollectorSettings) -> trio.abc.Stream:
            return await self._connect(process, self._by_address[host], meters)

        return Context(
            settings=settings(holder=process.name, poll_interval_s=60.0, storage_retry_s=120.0),
            ports=self.database.ports(process),
            metrics=CollectorMetrics(CollectorRegistry()),
            gate=StorageGate(),
            outbound_threads=threads(),
            inbound_threads=threads(),
            now=process.now,
            random=random,
            challenge=lambda: b"\0" + random.randbytes(15),
            connect=connect,
        )

    def _database_delay(self) -> float:
        if self.chances.strikes("database-slow", 0.02):
            return self._delays.uniform(1.0, 60.0)
        return 0.002

    async def _connect(
        self, process: Process, meter: SimulatedMeter, meters: trio.Nursery
    ) -> trio.abc.Stream:
        await process.turn()
        delay_s = 0.02 if self.chances.calm else drawn_delay(self._line_random)
        if self.chances.strikes("no-way", 0.1):
            delay_s = 3600.0
        await trio.sleep(delay_s)
        if meter.is_dark:
            raise ConnectionRefusedError
        line = Line(self._weather(delay_s))
        stream, number = self._plug_in(process, meter, line, inbound=False)
        meters.start_soon(meter.serve, line, number)
        return stream

    async def _dial_in(self, meter: SimulatedMeter) -> None:
        """A meter calls, and calls again when its line has ended."""
        random = self._line_random
        while True:
            await trio.sleep(random.uniform(5.0, 60.0))
            process = self._processes[random.choice(self._names)]
            if process.listener is not None and not meter.is_dark:
                line = Line(self._weather(0.02))
                stream, number = self._plug_in(process, meter, line, inbound=True)
                process.listener(stream)
                await meter.serve(line, number)

    def _plug_in(
        self, process: Process, meter: SimulatedMeter, line: Line, *, inbound: bool
    ) -> tuple[trio.abc.Stream, int]:
        """The process's end of a line, and its number."""
        number = next(self._connections)
        self.history.note(
            process.name,
            "connected",
            meter=meter.meter_id.int,
            connection=number,
            inbound=inbound,
        )
        self._last_connected = process
        self._connected.set()
        self._connected = trio.Event()
        return process.stream(line, meter.meter_id, number, meter.keys_seen()), number

    def _weather(self, delay_s: float) -> Weather:
        random, weather = self._line_random, Weather(lambda: delay_s)
        if self.chances.strikes("line-cut", 0.3):
            weather.cut_after = int(random.expovariate(1 / 1500))
        if self.chances.strikes("line-half-open", 0.3):
            weather.silent_after = int(random.expovariate(1 / 1500))
        if self.chances.strikes("line-slices", 0.5):
            weather.slice_octets = random.choice((1, 2, 7))
        if self.chances.strikes("line-slow", 0.3):
            weather.delay_s = lambda: random.expovariate(1 / 3.0)
        return weather

    # --- troubles -------------------------------------------------------------------------------

    async def _troubles(self) -> None:
        """One after the other, until it is calm; several may last at the same time."""
        kinds = [kind for name, kind in self._kinds() if self.chances.strikes(f"arms-{name}", 1.0)]
        async with trio.open_nursery() as nursery:
            while kinds and not self.chances.calm:
                await trio.sleep(self._random.expovariate(1 / 900))
                nursery.start_soon(self._random.choice(kinds))
            await trio.sleep_forever()

    def _kinds(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        yield "kill", self._kill
        yield "restart", self._restart
        yield "zombie", self._zombie
        yield "away", self._away
        yield "dark", self._dark
        yield "meter-clock", self._meter_clock
        yield "host-clock", self._host_clock

    def _some_process(self) -> Process:
        return self._processes[self._random.choice(self._names)]

    async def _process_in_session(self) -> Process:
        """A process that has just connected to a meter, a moment later: there it hurts most."""
        await self._connected.wait()
        await trio.sleep(self._random.expovariate(2.0))
        return self._last_connected

    async def _kill(self) -> None:
        process = await self._process_in_session()
        if process.alive:
            process.kill(power=self._random.random() < 0.5)

    async def _restart(self) -> None:
        process = await self._process_in_session()
        self.history.note(process.name, "restarted")
        process.scope.cancel()

    async def _zombie(self) -> None:
        process = await self._process_in_session()
        process.stop()
        try:
            await trio.sleep(self._random.choice((10.0, 200.0, 1200.0)))
        finally:
            process.go_on()

    async def _away(self) -> None:
        self.history.note("database", "goes")
        self.storage.away = True
        try:
            await trio.sleep(self._random.choice((30.0, 600.0, 600.0, 5 * 3600.0)))
        finally:
            self.storage.away = False
            self.history.note("database", "comes")

    async def _dark(self) -> None:
        meter = self._random.choice(self.meters)
        seconds = self._random.choice((30.0, 1800.0, 7200.0))
        seconds = min(seconds, TROUBLED_S - trio.current_time())
        self.history.note(meter.meter.identity.serial, "dark", seconds=seconds)
        meter.go_dark(seconds)
        await trio.lowlevel.checkpoint()

    async def _meter_clock(self) -> None:
        # Each but once: forth and back between two sessions is seen by nobody (`unread`).
        if not self._unjumped:
            return
        meter = self._unjumped.pop()
        seconds = self._random.choice((-3600.0, -1000.0, -7.0, 7.0, 1000.0, 3600.0))
        self.history.note(meter.meter.identity.serial, "jumps", seconds=seconds)
        meter.jump(seconds)
        await trio.lowlevel.checkpoint()

    async def _host_clock(self) -> None:
        process = self._some_process()
        seconds = self._random.choice((-3600.0, -5.0, 5.0, 3600.0))
        self.history.note(process.name, "jumps", seconds=seconds)
        process.skew_s += seconds
        await trio.lowlevel.checkpoint()

    def _calm(self) -> None:
        """From now on nothing goes wrong any more."""
        self.history.note("world", "calm")
        self.chances.calm = True
        self.storage.away = False
        for meter in self.meters:
            meter.behave()
        for process in self._processes.values():
            process.go_on()
            process.skew_s = 0.0
