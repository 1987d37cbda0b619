"""
How meters are reached and how they speak up: what a population says of itself, as values.

Owns no socket: `listeners`, `datagrams` and `concentrator` wait for clients, `dial_in` calls the
head-end, `pushes` sends what nobody asked for. A meter may do any of these at once.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address
from typing import Final

import attrs

from hes_protocol.models import Transport

DLMS_PORT: Final = 4059  # IANA dlms/cosem
FIRST_CONCENTRATED_SAP: Final = 0x10
_ALL_STATION: Final = 0x7F
_MOST_CONCENTRATED: Final = 4096


class Greeting(StrEnum):
    """What a meter says when it has dialled in."""

    SILENT = "silent"
    """Nothing until it is asked."""
    IDENTITY = "identity"
    """Its logical device name, as a push."""
    PUSH = "push"
    """Its first push of the model's."""


@attrs.frozen
class Target:
    """Where meters of a population call or push to: an IPv4 address and a port."""

    host: str
    port: int = DLMS_PORT

    def __attrs_post_init__(self) -> None:
        IPv4Address(self.host)
        if not 1 <= self.port <= 0xFFFF:
            raise ValueError(f"port {self.port} is none")

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Target:
        """
        `HOST:PORT`, or `HOST` with the port of DLMS.

        Raises: ValueError: no IPv4 address, no port.
        """
        host, colon, port = text.partition(":")
        if colon and not (port.isascii() and port.isdecimal()):
            raise ValueError(f"port {port!r} is none")
        return cls(host, int(port) if colon else DLMS_PORT)


@attrs.frozen(kw_only=True)
class DialIn:
    """
    Meters that keep a connection to the head-end and are read and push over it.

    Args:
        target: whom they call.
        greeting: what they say first.
        heartbeat_s: how often they say that they are there, seconds; None: never.
        spread_s: over how long the first calls of a population spread, seconds.
        reconnect_s: the bound below which the first new call waits at random; doubled with each
            failure up to `most_reconnect_s`.
        tls: whether they call by TLS.
    """

    target: Target
    greeting: Greeting = Greeting.IDENTITY
    heartbeat_s: float | None = None
    spread_s: float = 1.0
    reconnect_s: float = 5.0
    most_reconnect_s: float = 300.0
    tls: bool = False


@attrs.frozen(kw_only=True)
class Reach:
    """
    How the meters of one population are reached.

    Args:
        transport: of their associations, WRAPPER or HDLC; None: the model's.
        listens: whether they have an address at which they answer; not so behind a firewall.
        tls: whether those who call them must speak TLS.
        udp: whether they answer wrapper datagrams as well, whatever they speak over TCP.
        meters_per_address: so many share an address behind a concentrator, which speaks the
            wrapper and tells them apart by its port, see `server_sap`; 1: no concentrator.
        one_session: a second connection to a meter is closed while it has one.
        dial_in: whether and how they keep a connection to the head-end.
        push_to: where pushes go of meters that do not dial in; None: nowhere. push_tls: by TLS.
    Raises: ValueError: no or too many meters at an address.
    """

    transport: Transport | None = None
    listens: bool = True
    tls: bool = False
    udp: bool = False
    meters_per_address: int = 1
    one_session: bool = False
    dial_in: DialIn | None = None
    push_to: Target | None = None
    push_tls: bool = False

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.meters_per_address <= _MOST_CONCENTRATED:
            raise ValueError(f"1 to {_MOST_CONCENTRATED} meters share an address")

    @property
    def target(self) -> Target | None:
        """Where pushes go by themselves; None: nowhere."""
        return self.push_to if self.dial_in is None else self.dial_in.target

    def server_sap(self, place: int, own: int = 1) -> int:
        """
        The SAP (wPort) at which a meter answers.

        Args: place: the meter's among those that share its address, from 0. own: its own SAP,
            which it has where it is alone.
        Source: IEC 62056-47, "Reserved wrapper port numbers": servers from 0x10, not 0x7F.
        """
        if self.meters_per_address == 1:
            return own
        sap = FIRST_CONCENTRATED_SAP + place
        return sap if sap < _ALL_STATION else sap + 1

    def place(self, sap: int, own: int = 1) -> int | None:
        """Whose SAP this is, the opposite of `server_sap`; None: nobody's."""
        if self.meters_per_address == 1:
            return 0 if sap == own else None
        place = sap - FIRST_CONCENTRATED_SAP - (sap > _ALL_STATION)
        if sap == _ALL_STATION or not 0 <= place < self.meters_per_address:
            return None
        return place
