"""
The invocation counter that a meter expects, asked of its public client before we have any to go by.

A meter that has been talked to before (by another head-end, or before a restore) refuses our
counters as replayed. Its public client (SAP 16, no security) shows the last one that it took. Rule
1: nobody vouches for that number, so it is a hint. Rule 2: a hint moves our counter up, never
down, and no further than the cap; beyond that it is a security event and not used. Rule 3: it
stands only once the meter has shown in an authenticated exchange who it is (`OwnCounters.keep`).
Rule 4: a meter that does not answer as a public client is talked to without a hint.

Source: IEC 62056-6-2, class_id 1; IEC 62056-6-1, 0-b:43.1.e, invocation counter objects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
import trio

from hes.domain.meters import Association, Meter, Secrets
from hes_collectors.dlms.association import client_for
from hes_collectors.dlms.context import Context
from hes_collectors.dlms.counters import OwnCounters
from hes_collectors.dlms.exchange import Exchange
from hes_collectors.dlms.gate import LeaseGuard
from hes_collectors.dlms.learning import read
from hes_collectors.dlms.lines import Line
from hes_collectors.dlms.links import link_for
from hes_collectors.dlms.outcomes import ConnectionLostError, MeterRefusedError
from hes_protocol.client import Associate, AssociationAccepted
from hes_protocol.cosem import Obis
from hes_protocol.errors import RemoteProtocolError
from hes_protocol.quirks import Quirks

PUBLIC_SAP: Final = 16
_CLASS_DATA: Final = 1
_COUNTER_MAX: Final = 2**32 - 1
_MOST_OCTETS: Final = 16_384
# What a meter may do wrong as a public client and still be talked to.
_NO_ANSWER: Final = (
    trio.TooSlowError,
    trio.BrokenResourceError,
    ConnectionLostError,
    MeterRefusedError,
    RemoteProtocolError,
)


def counter_objects(quirks: Quirks, association: Association) -> tuple[Obis, ...]:
    """
    Where the counter of a client may be: as the inventory says, else the meter's model.

    Without a word of theirs both places that meters use: instance 0, and the one that has the
    client's SAP in value group E. Of two answers the higher one is no worse a hint.
    """
    client_sap = association.client_sap
    known = association.counter_object or quirks.counter_object.get(client_sap)
    if known is not None:
        return (known,)
    return tuple(Obis(bytes((0, 0, 43, 1, e, 255))) for e in dict.fromkeys((0, client_sap & 0xFF)))


async def ask_counter(
    context: Context,
    meter: Meter,
    line: Line,
    guard: LeaseGuard,
    on_push: Callable[[bytes, bytes], None],
) -> int | None:
    """
    Ask a meter's public client for the highest counter that it has taken from us.

    Opens the line for itself, within the deadlines of the settings.

    Returns: the hint, None where there is none. Raises: OSError, AddressNotAllowedError,
        trio.TooSlowError: no connection. LeaseLostError, StorageUnavailableError: nothing more may
        be sent.
    """
    async with line.opened() as stream:
        exchange = _exchange(context, meter, guard, stream, on_push)
        try:
            with trio.fail_after(context.settings.deadlines.associate_s):
                return await _ask(context, meter, exchange)
        except _NO_ANSWER:
            return None
        finally:
            await exchange.hang_up()


def _exchange(
    context: Context,
    meter: Meter,
    guard: LeaseGuard,
    stream: trio.abc.Stream,
    on_push: Callable[[bytes, bytes], None],
) -> Exchange:
    """The public client's."""
    public = attrs.evolve(
        meter,
        association=Association(client_sap=PUBLIC_SAP, server_sap=meter.association.server_sap),
    )
    link = link_for(public, context.quirks_of(meter))
    counters = OwnCounters(context, public, needed=False)
    return Exchange(
        stream,
        link,
        client_for(context, public, Secrets(), None, counters, link),
        counters,
        guard,
        context.settings.deadlines.request_s,
        _MOST_OCTETS,
        on_push,
    )


async def _ask(context: Context, meter: Meter, exchange: Exchange) -> int | None:
    if not isinstance(await exchange.ask(Associate()), AssociationAccepted):
        return None
    answers = [
        await read(exchange, _CLASS_DATA, obis, 2)
        for obis in counter_objects(context.quirks_of(meter), meter.association)
    ]
    found = [
        answer.value
        for answer in answers
        if answer is not None and type(answer.value) is int and 0 <= answer.value <= _COUNTER_MAX
    ]
    with trio.move_on_after(context.settings.deadlines.release_s):
        await exchange.release()
    return max(found, default=None)
