"""
The meters of a simulation: the real ones of `hes_simulators`, small, on lines that break.

A meter has a load profile of few entries, so that its buffer wraps within hours. It notes each
request that it carries out with the connection that it came by, and is faulty as its plan says.
"""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar
from datetime import datetime, timedelta
from functools import cache
from random import Random
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import trio

import hes_simulators as sim
from hes.domain.meters import Association, Mechanism, Meter, Policy, Secrets, Transport
from hes_protocol.errors import RemoteProtocolError
from hes_protocol.models import Model
from hes_protocol.models.objects import ModelProfile
from hes_protocol.security.suite0 import SuiteKeys
from hes_protocol.server import ActionRequested, ActionResult, GetRequested, GetResult
from hes_simulators.clock import microseconds
from hes_simulators.faults import Rule, fault
from hes_simulators.faults.stream import reset
from hes_simulators.known_models import simulated_model
from hes_simulators.truth.rows import LOAD_PROFILE
from tests.simulation.counters_seen import KeysOf
from tests.simulation.determinism import stream
from tests.simulation.history import History
from tests.simulation.scheduling import ENTRIES, PERIOD_S
from tests.simulation.wire import Line
from tests.unit.hes_collectors.support import OUR_TITLE, START, wall_clock

_IDLE_S: Final = 300.0
_LINE_IDLE_S: Final = 900.0
_ZONE: Final = ZoneInfo("Europe/Berlin")
_connection: ContextVar[int] = ContextVar("connection")

_FAULTS: Final[tuple[tuple[str, dict[str, Any], float], ...]] = (
    ("hang", {"answer": 4}, 0.2),
    ("reset", {"octet": 700}, 0.2),
    ("reboot-in-session", {"answer": 5, "dark_s": 600.0}, 0.1),
    ("late-answer", {"answer": 4, "seconds": 9.0}, 0.2),
    ("drip", {"every_s": 0.05, "octets": 16}, 0.2),
    ("latency", {"seconds": 1.0, "spread": 1.0, "distribution": "lognormal"}, 0.3),
    ("wrong-invoke-id", {}, 0.1),
    ("replay", {}, 0.05),
    ("forged-answer", {"answer": 4}, 0.05),
    ("wrong-key", {}, 0.05),
    ("plaintext", {}, 0.05),
    ("counter-rollback", {"by": 500}, 0.03),
    ("refuse", {}, 0.3),
)
"""Faults of sessions: name, parameters, in which share of the sessions."""


@cache
def _model(entries: int) -> Model:
    """The plain household meter, with a buffer of so many rows."""
    model = simulated_model()
    short: ModelProfile = attrs.evolve(model.profiles[LOAD_PROFILE], entries=entries)
    return attrs.evolve(model, objects={**model.objects, short.key: short})


class WatchedMeter(sim.Meter):
    """A meter that says what it has carried out, and for whom."""

    history: History

    def get(self, event: GetRequested) -> GetResult:
        """As of `Meter`."""
        if event.client_sap == self.kind.main_client.sap:
            self._note("get")
        return super().get(event)

    def action(self, event: ActionRequested) -> ActionResult:
        """As of `Meter`."""
        self._note("action")
        return super().action(event)

    def _note(self, what: str) -> None:
        self.history.note(
            self.identity.serial,
            "carried-out",
            meter=self.identity.index + 1,
            request=what,
            connection=_connection.get(),
        )


class SimulatedMeter:
    """
    One meter with what the inventory knows of it.

    Args: index: its number from 0. troubled: whether anything may go wrong with it.
        hdlc, pdu_octets: None: as the seed says. may_dial: it may be one that dials in, and has
        no address.
    """

    def __init__(
        self,
        seed: int,
        index: int,
        history: History,
        *,
        troubled: bool,
        hdlc: bool | None = None,
        pdu_octets: int | None = None,
        may_dial: bool = False,
    ) -> None:
        self._random = stream(seed, f"meter-{index}")
        self._faulty = troubled
        challenges = stream(seed, f"meter-challenges-{index}")
        drawn = self._random.random() < 0.2, self._random.choice((256, 512, 1024))
        self.kind = sim.MeterKind(
            seed=seed,
            zone=_ZONE,
            model=_model(ENTRIES),
            security=sim.Security.GMAC,
            max_receive_pdu_size=drawn[1] if pdu_octets is None else pdu_octets,
            now=wall_clock,
            next_challenge=lambda: challenges.randbytes(16),
            first_counter=1000,
            hdlc=drawn[0] if hdlc is None else hdlc,
            drift_ppm=self._random.choice((0, 0, 50)) if troubled else 0,
        )
        self.meter = WatchedMeter.of(self.kind, index)
        assert isinstance(self.meter, WatchedMeter)
        self.meter.history = history
        self._lines: list[Line] = []
        self.dials_in = may_dial and self._random.random() < 0.25

    @property
    def meter_id(self) -> UUID:
        """Its id in the inventory."""
        return UUID(int=self.meter.identity.index + 1)

    def inventory(self) -> Meter:
        """As `hes meter import` would know it."""
        identity = self.meter.identity
        return Meter(
            meter_id=self.meter_id,
            serial=identity.serial,
            timezone=_ZONE.key,
            transport=Transport.HDLC if self.kind.hdlc else Transport.WRAPPER,
            association=Association(
                mechanism=Mechanism.HLS_GMAC, policy=Policy.AUTHENTICATED_ENCRYPTED
            ),
            commissioned_at=START - timedelta(days=30),
            system_title=identity.system_title,
            address=None if self.dials_in else f"127.16.0.{identity.index + 1}",
            port=None if self.dials_in else 4059,
        )

    def secrets(self) -> Secrets:
        """Its keys."""
        identity = self.meter.identity
        return Secrets(
            ek=identity.encryption_key,
            ak=identity.authentication_key,
            key_fingerprint=identity.serial.encode(),
        )

    def keys_seen(self) -> KeysOf | None:
        """What opens the frames that are sent to it; None where they are no wrapper frames."""
        identity = self.meter.identity
        if self.kind.hdlc:
            return None
        return KeysOf(SuiteKeys(identity.encryption_key, identity.authentication_key), OUR_TITLE)

    def captured(self, until: datetime) -> list[sim.TruthRow]:
        """All rows that it has captured in the simulation and shortly before, oldest first."""
        self.meter.advance(until)
        since = START - timedelta(seconds=(ENTRIES + 1) * PERIOD_S)
        return list(sim.rows(self.meter, since, until))

    # --- what happens to it -------------------------------------------------------------------

    def misbehave(self) -> None:
        """From now on as its seed says; a few kinds of faults in some of its sessions."""
        faults = self.kind.faults
        for name, parameters, share in _FAULTS:
            if self._faulty and self._random.random() < 0.15:
                faults.add(Rule(name=name, fault=fault(name, parameters), probability=share))

    def jump(self, seconds: float) -> None:
        """Its clock jumps."""
        now_us = self.meter.advance_us(microseconds(wall_clock()))
        time = self.meter.time
        time.set(now_us, time.shown_us(now_us) + round(seconds * 1e6))

    def go_dark(self, seconds: float) -> None:
        """No power for a while."""
        now = wall_clock()
        self.meter.reboot(now, until=now + timedelta(seconds=seconds))
        for line in self._lines:
            line.cut()

    def behave(self) -> None:
        """Nothing goes wrong any more."""
        self.kind.faults.clear()

    # --- connections --------------------------------------------------------------------------

    @property
    def is_dark(self) -> bool:
        """Whether nobody answers."""
        return self.meter.is_dark(wall_clock())

    async def serve(self, line: Line, number: int) -> None:
        """Be the meter on one connection."""
        _connection.set(number)
        self._lines = [known for known in self._lines if not known.far.closed]
        self._lines.append(line)
        stream_ = line.far
        try:
            with (
                suppress(RemoteProtocolError, trio.BrokenResourceError, OSError),
                self.kind.faults.session(self.meter.identity) as misdeeds,
            ):
                if misdeeds.refuses:
                    await reset(stream_)
                else:
                    await sim.serve_stream(
                        stream_,
                        self.meter,
                        sim.SessionSummary(),
                        _LINE_IDLE_S if self.dials_in else _IDLE_S,
                        misdeeds,
                    )
        finally:
            stream_.hang_up()


def drawn_delay(random: Random) -> float:
    """How long octets take, seconds: mostly little, now and then long."""
    return random.choice((0.005, 0.02, 0.02, 0.05, random.expovariate(2.0)))
