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
from typing import Any, Final

import attrs

from hes_protocol.models import ModelPush, Transport
from hes_simulators.identity import Identity
from hes_simulators.meter import Meter, MeterKind, Security
from hes_simulators.reach import Reach
from hes_simulators.scenario.population import Group, Population
from hes_simulators.settings import FleetSettings

LOOPBACK_HOST: Final = "127.0.0.1"


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
    pushes: tuple[ModelPush, ...] = ()

    @property
    def addresses(self) -> int:
        """How many addresses the group has."""
        return -(-self.count // self.reach.meters_per_address)

    @property
    def concentrates(self) -> bool:
        """Whether several meters share an address."""
        return self.reach.meters_per_address > 1

    @property
    def transport(self) -> Transport:
        """Of the meters' associations."""
        if self.concentrates or not self.kind.hdlc:
            return Transport.WRAPPER
        return Transport.HDLC

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
    """

    def __init__(self, settings: FleetSettings, kind: Callable[[Group], MeterKind]) -> None:
        self.settings = settings
        self.port = settings.port
        self._meters: dict[int, Meter] = {}
        self.bands: list[Band] = []
        first = address = 0
        for group in groups(settings):
            reach = group.reach or settings.reach
            made = kind(group)
            pushes = settings.pushes if settings.pushes is not None else pushes_of(made)
            band = Band(first, group.count, address, made, reach, group, pushes)
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
            meter = self._meters[index] = Meter.of(self.band(index).kind, index)
        return meter

    def existing(self, index: int) -> Meter | None:
        """Meter `index` if somebody has asked for it before."""
        return self._meters.get(index)

    def server_sap(self, index: int) -> int:
        """At which SAP a meter answers."""
        band = self.band(index)
        return band.reach.server_sap((index - band.first) % band.reach.meters_per_address)

    def host(self, index: int) -> str:
        """The address of a meter, which also its own connections come from."""
        if self.settings.port_base is not None:
            return LOOPBACK_HOST
        return str(self.settings.network.address(self._address(index)))

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
        if index is None or not band.reach.listens:
            return None
        return Called(band, address, index)

    def record(self, index: int) -> Mapping[str, Any]:
        """What `hes meter import` reads of a meter."""
        band, settings = self.band(index), self.settings
        kind = band.kind
        identity = Identity.of(settings.seed, index, kind.table.maker_code)
        ciphered = kind.security is Security.GMAC
        secret = kind.security.secret(identity)
        address: str | None = None
        port: int | None = None
        if band.reach.listens:
            address, port = self.host(index), self.port
            if settings.port_base is not None:
                port = settings.port_base + self._address(index)
        record: dict[str, Any] = {
            "serial": identity.serial,
            "system_title": identity.system_title.hex(),
            "address": address,
            "port": port,
            "transport": band.transport.value,
            "client_sap": kind.main_client.sap,
            "server_sap": self.server_sap(index),
            "mechanism": kind.security.value,
            "suite": 0,
            "secret": None if secret is None else secret.hex(),
            "ek": identity.encryption_key.hex() if ciphered else None,
            "ak": identity.authentication_key.hex() if ciphered else None,
            "model": band.group.model,
            "timezone": kind.zone.key,
        }
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


def groups(settings: FleetSettings) -> tuple[Group, ...]:
    """The groups of a fleet: those of its population, or the one that the settings describe."""
    population: Population | None = settings.population
    if population is not None:
        return population.groups
    group = Group(name=settings.model, model=settings.model, count=settings.meters)
    return (attrs.evolve(group, zone=settings.zone),)


def pushes_of(kind: MeterKind) -> tuple[ModelPush, ...]:
    """What the meters of a kind push by their model."""
    model = getattr(kind, "model", None)
    return () if model is None else tuple(model.pushes)
