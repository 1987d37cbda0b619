"""
Asking who is there: a meter that has dialled in and says nothing.

Its public client (SAP 16, no security) shows its system title, or its logical device name. Nobody
vouches for either: it is whom to try the keys of, and the exchange by them shows whether it is so.
Nothing secret is said, whoever listens.

Source: IEC 62056-5-3, AARE, responding-AP-title; IEC 62056-6-2, COSEM logical device name.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import attrs
import trio
import trio.abc

from hes.domain.errors import StorageUnavailableError
from hes.domain.meters import Association, Meter, Secrets, Transport
from hes.domain.ports import InboundPort, Sender
from hes.domain.reach import IPAddress
from hes_collectors.dlms.association import client_for
from hes_collectors.dlms.bootstrap import PUBLIC_SAP
from hes_collectors.dlms.context import Context
from hes_collectors.dlms.counters import OwnCounters
from hes_collectors.dlms.exchange import Exchange
from hes_collectors.dlms.gate import LeaseGuard
from hes_collectors.dlms.learning import read
from hes_collectors.dlms.links import link_for
from hes_collectors.dlms.outcomes import ConnectionLostError, MeterRefusedError
from hes_protocol.axdr.data import DataTag
from hes_protocol.client import Associate, AssociationAccepted
from hes_protocol.cosem import Obis
from hes_protocol.errors import RemoteProtocolError
from hes_protocol.quirks import STANDARD

DEVICE_NAME: Final = Obis.parse("0.0.42.0.0.255")
_CLASS_DATA: Final = 1
_MOST_OCTETS: Final = 16_384
_MOST_NAME_OCTETS: Final = 64
_TEXTS: Final = (DataTag.OCTET_STRING, DataTag.VISIBLE_STRING, DataTag.UTF8_STRING)
_NOBODY: Final = Meter(
    meter_id=UUID(int=0),
    serial="",
    timezone="UTC",
    transport=Transport.WRAPPER,
    association=Association(client_sap=PUBLIC_SAP),
    commissioned_at=datetime(1970, 1, 1, tzinfo=UTC),
)
# What somebody may do who is no meter, or none that speaks so.
_NO_ANSWER: Final = (
    trio.TooSlowError,
    MeterRefusedError,
    RemoteProtocolError,
    StorageUnavailableError,
)


@attrs.frozen
class Shown:
    """
    What the public client has shown; `pushes` came meanwhile: APDUs with their frames.

    `answered`: it has opened an association. If not, `unread` is what has come instead.
    """

    answered: bool
    system_title: bytes | None = None
    device_name: str | None = None
    pushes: tuple[tuple[bytes, bytes], ...] = ()
    unread: bytes = b""


class _Recorded(trio.abc.Stream):
    """A stream that keeps what is received, as much as an exchange takes."""

    def __init__(self, inner: trio.abc.Stream) -> None:
        self._inner = inner
        self.received = bytearray()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = bytes(await self._inner.receive_some(max_bytes))
        self.received += data
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        pass


async def ask_who(
    context: Context, stream: trio.abc.Stream, transport: Transport, within_s: float
) -> Shown:
    """
    Ask whoever is at the other end.

    Raises: ConnectionLostError, trio.BrokenResourceError, trio.ClosedResourceError: the connection
        has ended.
    """
    public = attrs.evolve(_NOBODY, transport=transport)
    link = link_for(public, STANDARD)
    counters = OwnCounters(context, public, needed=False)
    pushes: list[tuple[bytes, bytes]] = []
    recorded = _Recorded(stream)
    exchange = Exchange(
        recorded,
        link,
        client_for(context, public, Secrets(), None, counters, link),
        counters,
        LeaseGuard(math.inf, context.gate),
        within_s,
        _MOST_OCTETS,
        lambda apdu, frame: pushes.append((apdu, frame)),
    )
    try:
        with trio.fail_after(within_s):
            accepted = await exchange.ask(Associate())
            if not isinstance(accepted, AssociationAccepted):
                return Shown(answered=False)
            answer = await read(exchange, _CLASS_DATA, DEVICE_NAME, 2)
            await exchange.release()
    except ConnectionLostError:
        raise
    except _NO_ANSWER:
        return Shown(answered=False, unread=bytes(recorded.received))
    finally:
        await exchange.hang_up()
    name = None
    if answer is not None and answer.tag in _TEXTS:
        name = _text(answer.value)
    return Shown(
        answered=True,
        system_title=accepted.server_system_title,
        device_name=name,
        pushes=tuple(pushes),
    )


def meter_shown(inbound: InboundPort, peer: IPAddress, shown: Shown) -> Meter | None:
    """
    Whom the inventory knows by what was shown.

    Synchronous: runs in a worker thread. Raises: StorageUnavailableError.
    """
    if shown.system_title is not None:
        meter = inbound.by_system_title(shown.system_title)
        if meter is not None:
            return meter
    if shown.device_name is None:
        return None
    return inbound.by_sender(Sender(peer, None, ((DEVICE_NAME, shown.device_name),)))


def _text(value: bytes | str) -> str | None:
    octets = value.encode() if isinstance(value, str) else bytes(value)
    text = octets[:_MOST_NAME_OCTETS].strip(b" \0").decode("ascii", "replace")
    return text if text and text.isascii() and text.isprintable() else None
