"""
Who is in a fleet: from an index, or from the address that a client called, to the meter.

Owns the numbering. Meters count from 0, one group of the population after the other; so do the
addresses, of which a concentrator has one for many meters. Each group has one `MeterKind`, found
by bisection. A meter is made when it is first asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address
from types import MappingProxyType
from typing import Any, Final

import attrs

from hes_protocol.acse.names import Mechanism
from hes_protocol.models import ModelPush, Transport
from hes_protocol.security.control import Protection
from hes_simulators.identity import Identity
from hes_simulators.meter import Meter, MeterKind
from hes_simulators.reach import Reach
from hes_simulators.scenario.population import Group
from hes_simulators.settings import FleetSettings
from hes_simulators.state import MeterState

LOOPBACK_HOST: Final = "127.0.0.1"
# A meter file has no client 0: nobody asks who pushes to that.
_PUBLIC_SAP: Final = 16


@attrs.frozen(eq=False)
class Band:
    """
    The meters of one group.

    `first` and `count` number the meters, `first_address` and `addresses` where they answer.
    """

    first: int
    count: int
    first_address: int
    kind: MeterKind
    reach: Reach
    group: Group
    pushes_instead: tuple[ModelPush, ...] | None = None

    @property
    def addresses(self) -> int:
        """How many addresses the group has."""
        return -(-self.count // self.reach.meters_per_address)

    @property
    def concentrates(self) -> bool:
        """Whether several meters share an address."""
        return self.reach.meters_per_address > 1

    @property
    def listens(self) -> bool:
        """Whether the meters answer who calls them."""
        return self.reach.listens and self.kind.table.listens

    @property
    def transport(self) -> Transport:
        """What the meters speak over TCP."""
        if self.concentrates:
            return Transport.WRAPPER
        if self.kind.hdlc:
            return Transport.HDLC
        mbus = self.reach.transport is None and self.kind.table.transport is Transport.MBUS
        return Transport.MBUS if mbus else Transport.WRAPPER

    @property
    def protection(self) -> Protection:
        """The least that a head-end should ask of what the meters send."""
        client = self.kind.main_client
        if client.mechanism is Mechanism.HLS_GMAC:
            return Protection.AUTHENTICATED_ENCRYPTED
        return client.protection

    @property
    def pushes(self) -> tuple[ModelPush, ...]:
        """What the meters send by themselves."""
        return self.kind.model.pushes if self.pushes_instead is None else self.pushes_instead

    def server_sap(self, index: int) -> int:
        """At which SAP a meter answers."""
        place = (index - self.first) % self.reach.meters_per_address
        return self.reach.server_sap(place, self.kind.table.server_sap)

    def meter_at(self, address: int, sap: int) -> int | None:
        """The meter at an address (its number) with that SAP; None: nobody."""
        place = self.reach.place(sap, self.kind.table.server_sap)
        return None if place is None else self.index_at(address, place)

    def index_at(self, address: int, place: int) -> int | None:
        """The meter at an address (its number), by its place behind it; None: nobody."""
        index = (address - self.first_address) * self.reach.meters_per_address + place
        return self.first + index if index < self.count else None


@attrs.frozen
class Called:
    """Whom a client has called: one meter, or the concentrator of several."""

    band: Band
    address: int
    index: int


class Roster:
    """
    The meters of a fleet.

    Args: settings: what the fleet looks like. kind: makes what the meters of a group share.
        states: of meters that are not fresh, by index.
    """

    def __init__(
        self,
        settings: FleetSettings,
        kind: Callable[[Group, Reach], MeterKind],
        states: Mapping[int, MeterState] = MappingProxyType({}),
    ) -> None:
        self._kept = dict(states)
        self.settings = settings
        self.port = settings.port
        self._meters: dict[int, Meter] = {}
        self.bands: list[Band] = []
        first = address = 0
        for group, reach in zip(settings.groups, settings.reaches, strict=True):
            made = kind(group, reach)
            band = Band(first, group.count, address, made, reach, group, settings.pushes)
            self.bands.append(band)
            first += group.count
            address += band.addresses
        self._firsts = [band.first for band in self.bands]
        self._first_addresses = [band.first_address for band in self.bands]
        self._count = first
        self._addresses = address

    def __len__(self) -> int:
        return self._count

    @property
    def made(self) -> int:
        """How many meters exist in memory."""
        return len(self._meters)

    def band(self, index: int) -> Band:
        """
        The group of a meter.

        Raises: IndexError: there is no such meter.
        """
        if not 0 <= index < self._count:
            raise IndexError(index)
        return self.bands[bisect_right(self._firsts, index) - 1]

    def meter(self, index: int) -> Meter:
        """
        Meter `index`, made when it is first asked for.

        Raises: IndexError: there is no such meter.
        """
        meter = self._meters.get(index)
        if meter is None:
            state = self._kept.pop(index, None)
            meter = self._meters[index] = Meter.of(self.band(index).kind, index, state)
        return meter

    def state(self, index: int) -> MeterState | None:
        """What a meter keeps; None: nobody has looked at it yet."""
        meter = self._meters.get(index)
        return self._kept.get(index) if meter is None else meter.state

    def states(self) -> Iterator[tuple[int, MeterState]]:
        """Of every meter that exists, or did before this start; others may be made meanwhile."""
        kept, meters = list(self._kept.items()), list(self._meters.items())
        yield from kept
        yield from ((index, meter.state) for index, meter in meters)

    def rest(self, since_us: int) -> int:
        """Let meters rest at which nobody has looked since a moment. Returns: how many did."""
        return sum(meter.rest() for meter in self._meters.values() if meter.now_us < since_us)

    def serial(self, index: int) -> str:
        """The serial number of a meter, which need not exist."""
        return self._identity(index).serial

    def _identity(self, index: int) -> Identity:
        meter = self._meters.get(index)
        if meter is not None:
            return meter.identity
        return Identity.of(self.settings.seed, index, self.band(index).kind.table.maker_code)

    def server_sap(self, index: int) -> int:
        """At which SAP a meter answers."""
        return self.band(index).server_sap(index)

    def host(self, index: int) -> str:
        """The address of a meter, which also its own connections come from."""
        if self.settings.port_base is not None:
            return LOOPBACK_HOST
        return self.settings.network.host(self._address(index))

    def called(self, host: str, port: int) -> Called | None:
        """Who is meant by a local address; None: nobody. The first meter of a concentrator."""
        settings = self.settings
        if settings.port_base is None:
            address = settings.network.index(IPv4Address(host))
        else:
            address = port - settings.port_base
        if address is None or not 0 <= address < self._addresses:
            return None
        band = self.bands[bisect_right(self._first_addresses, address) - 1]
        index = band.index_at(address, 0)
        if index is None or not band.listens:
            return None
        return Called(band, address, index)

    def record(self, index: int) -> Mapping[str, Any]:
        """What `hes meter import` reads of a meter."""
        band, settings = self.band(index), self.settings
        kind = band.kind
        identity = self._identity(index)
        protection = band.protection
        secret = kind.security.secret(identity)
        record: dict[str, Any] = {
            "serial": identity.serial,
            "system_title": identity.system_title.hex(),
            "address": None,
            "port": None,
            "transport": "hdlc" if band.transport is Transport.HDLC else "wrapper",
            "client_sap": kind.main_client.sap or _PUBLIC_SAP,
            "server_sap": band.server_sap(index),
            "mechanism": kind.security.value,
            "suite": 0,
            "secret": None if secret is None else secret.hex(),
            "ek": identity.encryption_key.hex() if protection else None,
            "ak": identity.authentication_key.hex() if protection.authenticated else None,
            "model": band.group.model,
            "timezone": kind.zone.key,
        }
        if band.listens:
            record["address"], record["port"] = self.host(index), self.port
            if settings.port_base is not None:
                record["port"] = settings.port_base + self._address(index)
        elif settings.port_base is None:
            record["peer"] = self.host(index)  # where its pushes come from, if they name nobody
        return record | dict(self._place(index, band))

    def records(self) -> Iterator[Mapping[str, Any]]:
        """Of every meter."""
        return map(self.record, range(self._count))

    def _address(self, index: int) -> int:
        band = self.band(index)
        return band.first_address + (index - band.first) // band.reach.meters_per_address

    def _place(self, index: int, band: Band) -> Mapping[str, Any]:
        population = self.settings.population
        if population is None:
            return {}
        place = population.place(index)
        return {
            "site": place.site,
            "feeder": place.feeder,
            "transformer": place.transformer,
            "group": band.group.name,
        }
