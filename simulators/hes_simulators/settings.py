"""What a fleet looks like: frozen, made once, passed in."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import attrs

from hes_protocol.models import ModelPush
from hes_protocol.models.objects import MeterTable
from hes_protocol.quirks import STANDARD, Quirks
from hes_simulators.addresses import DEFAULT_NETWORK, MeterNetwork
from hes_simulators.known_models import HOUSEHOLD as MODEL
from hes_simulators.known_models import simulated_model
from hes_simulators.meter import Security
from hes_simulators.reach import DialIn, Greeting, Reach, Target
from hes_simulators.scenario.population import Group, Population

DEFAULT_PORT: Final = 4159


class FleetError(Exception):
    """The fleet cannot start; the text says what to do."""


@attrs.frozen(kw_only=True)
class FleetSettings:
    """
    What a fleet looks like.

    Args:
        meters: how many; unused with `population`.
        network: their addresses; unused with `port_base`.
        port: of every address; 0 lets the system choose one.
        port_base: where not None, meter i listens on 127.0.0.1, port base + i, instead.
        security: of the management client. max_receive_pdu_size: of the meters, octets; answers
            above it come in blocks. profile_days: depth of the load profile's buffer. None of
            them: as the model says.
        seed: all curves and keys follow from it.
        zone: of the meters; None: as the model says.
        hdlc: whether they speak HDLC over TCP instead of the wrapper.
        model: their model's name. quirks: what that does otherwise than the standard.
        idle_timeout_s: a client that sends no whole APDU for so long is dropped.
        max_connections: more at once are closed unheard.
        population: meters of several makes; None: all are of `model`.
        reach: how they are reached and speak up, where a group of `population` says nothing.
        head_end: whom those push to of which nobody has said it: meters that nobody can call keep
            a connection to it, the others make one for each push.
        pushes: what all of them push; None: each what its model says.
        destinations: where else clients may let meters push to; nowhere unless it is said.
        tls_folder: where the certificates are, or will be made, of meters that speak TLS.
        max_dials: the most connections that are being opened by meters at a time.
        max_pushes: the most pushes that wait to be sent; more are dropped and counted.
        push_timeout_s: how long a push may take from the connection to its confirmation.
    Raises: NetworkError, FleetError: more meters than addresses or ports, or something missing
        for how they are reached.
    """

    meters: int = 1
    network: MeterNetwork = attrs.field(factory=lambda: MeterNetwork(DEFAULT_NETWORK))
    port: int = DEFAULT_PORT
    port_base: int | None = None
    security: Security | None = None
    max_receive_pdu_size: int | None = None
    profile_days: int | None = None
    seed: int = 1
    zone: ZoneInfo | None = None
    hdlc: bool = False
    model: str = MODEL
    quirks: Quirks = STANDARD
    idle_timeout_s: float = 60.0
    max_connections: int = 8192
    population: Population | None = None
    reach: Reach = attrs.field(factory=Reach)
    head_end: Target | None = None
    pushes: tuple[ModelPush, ...] | None = None
    destinations: tuple[Target, ...] = ()
    tls_folder: Path | None = None
    max_dials: int = 64
    max_pushes: int = 20_000
    push_timeout_s: float = 10.0

    def __attrs_post_init__(self) -> None:
        if self.port_base is None:
            self.network.address(self.addresses - 1)
        elif self.port_base + self.addresses - 1 > 0xFFFF:
            raise FleetError(f"{self.addresses} ports from {self.port_base} end above 65535")
        if self.tls_folder is None and self.speaks_tls:
            raise FleetError("TLS needs a folder for certificates")
        if self.port_base is not None and any(reach.udp for reach in self.reaches):
            raise FleetError("meters that answer datagrams need addresses of their own")

    @property
    def count(self) -> int:
        """How many meters there are."""
        return sum(group.count for group in self.groups)

    @property
    def groups(self) -> tuple[Group, ...]:
        """Those of the population, or the one that these settings describe."""
        if self.population is not None:
            return self.population.groups
        zone = self.zone or zone_of(self.model)
        return (Group(name=self.model, model=self.model, count=self.meters, zone=zone),)

    @property
    def addresses(self) -> int:
        """How many addresses (or ports) they have: those of a concentrator share one."""
        return sum(
            -(-group.count // reach.meters_per_address)
            for group, reach in zip(self.groups, self.reaches, strict=True)
        )

    @property
    def reaches(self) -> tuple[Reach, ...]:
        """How the meters of each group are reached."""
        return tuple(map(self._reach, self.groups))

    def _reach(self, group: Group) -> Reach:
        if group.reach is not None:
            return group.reach
        ours = self.reach
        if self.head_end is None or ours.dial_in is not None or ours.push_to is not None:
            return ours
        if listens(group):
            return attrs.evolve(ours, push_to=self.head_end)
        dial_in = DialIn(target=self.head_end, greeting=Greeting.SILENT)
        return attrs.evolve(ours, listens=False, dial_in=dial_in)

    @property
    def speaks_tls(self) -> bool:
        """Whether any of them does, called or calling."""
        return any(map(_speaks_tls, self.reaches))


def zone_of(model: str) -> ZoneInfo:
    """The zone of a model's meters, unless somebody says otherwise."""
    return ZoneInfo((simulated_model(model).meter or MeterTable()).zone)


def listens(group: Group) -> bool:
    """Whether meters of this model answer anybody, as the model says."""
    table = simulated_model(group.model).meter
    return table is None or table.listens


def _speaks_tls(reach: Reach) -> bool:
    dials = reach.dial_in is not None and reach.dial_in.tls
    return reach.tls or reach.push_tls or dials
