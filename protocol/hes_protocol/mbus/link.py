"""
M-Bus long frames as a server's link: it only pushes, since a customer interface has no way back.

What comes from the other side is dropped and counted. EN 13757-1, "Transport layer": the server's
SAP is the source, the client's the destination; IDIS names 103 (0x67) the client of the customer's
interface.
"""

from __future__ import annotations

from typing import Final

from hes_protocol.errors import LocalProtocolError
from hes_protocol.mbus.fragments import MBusFragmenter

MAX_SAP: Final = 0xFF


class MBusPushLink:
    """
    A `ServerLink` for pushes from `source`.

    Args: source: our SAP. max_data: the most octets of an APDU in one frame; None: what fits.
    Raises: LocalProtocolError: a SAP above 8 bits.
    """

    def __init__(self, source: int, max_data: int | None = None) -> None:
        self.source = _checked(source)
        self.peer_sap: int | None = None
        self.octets_discarded = 0
        self._max_data = max_data

    @property
    def timeout_s(self) -> float | None:
        """None: nothing is awaited."""
        return None

    def push(self, client_sap: int, apdu: bytes) -> bytes:
        """
        The frames that carry an APDU to a client.

        Raises: LocalProtocolError: a SAP above 8 bits, no APDU, or a `max_data` that no frame has.
        """
        sap = _checked(client_sap)
        if self._max_data is None:
            return MBusFragmenter(self.source, sap).to_octets(apdu)
        return MBusFragmenter(self.source, sap, self._max_data).to_octets(apdu)

    def wrap(self, *apdus: bytes) -> bytes:
        """Raises: LocalProtocolError: nobody can have asked."""
        raise LocalProtocolError(f"{len(apdus)} answers to nobody")

    def receive_data(self, data: bytes) -> None:
        """Drop it."""
        self.octets_discarded += len(data)

    def next_apdu(self) -> bytes | None:
        """None: no client is heard."""
        return None

    def data_to_send(self) -> bytes:
        """Nothing of its own."""
        return b""

    def handle_timeout(self) -> bytes:
        """Nothing either."""
        return b""

    def ended_saps(self) -> tuple[int, ...]:
        """None: there are no links to end."""
        return ()


def _checked(sap: int) -> int:
    if not 0 <= sap <= MAX_SAP:
        raise LocalProtocolError(f"SAP {sap} does not fit eight bits")
    return sap
