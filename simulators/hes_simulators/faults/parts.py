"""
What a meter's side of a connection is put together from, so that faults can put in something else.

`Meter.server` makes the parts, hands them to what `SessionFaults.alter` is, and lets the outcome
make the server. Whoever does nothing wrong never notices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping

import attrs

from hes_protocol.server import Guard, Server, ServerAssociation, ServerLink
from hes_protocol.settings import NO_GUARD


@attrs.frozen(kw_only=True)
class ServerParts:
    """The arguments of `hes_protocol.server.Server`, see there."""

    associations: Mapping[int, ServerAssociation]
    link: ServerLink
    server_sap: int
    system_title: bytes
    next_counter: Callable[[], int]
    next_challenge: Callable[[], bytes]
    client_counters: MutableMapping[int, int]
    broadcast_counters: MutableMapping[int, int] | None = None
    guard: Guard = NO_GUARD

    def server(self) -> Server:
        """
        The server that is made of them.

        Raises: LocalProtocolError: as `Server`.
        """
        return Server(
            self.associations,
            self.link,
            server_sap=self.server_sap,
            system_title=self.system_title,
            next_counter=self.next_counter,
            next_challenge=self.next_challenge,
            client_counters=self.client_counters,
            broadcast_counters=self.broadcast_counters,
            guard=self.guard,
        )


Alter = Callable[[ServerParts], ServerParts]


def unaltered(parts: ServerParts) -> ServerParts:
    """Nothing is wrong with them."""
    return parts
