"""A small head-end for tests: one client of `hes_protocol` over any trio stream."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import trio

from hes_protocol.acse.names import Mechanism
from hes_protocol.axdr import Data
from hes_protocol.client import (
    Associate,
    AssociationAccepted,
    Client,
    ClientEvent,
    ClientRequest,
    ClientSettings,
    ContinueNeeded,
    Get,
    GetCompleted,
    Release,
    Selection,
)
from hes_protocol.cosem import Attribute, Obis
from hes_protocol.hdlc import HdlcAddress, HdlcLink
from hes_protocol.security.control import Protection
from hes_protocol.security.mechanisms import HLS
from hes_protocol.wrapper import WrapperLink
from hes_protocol.xdlms.results import DataAccessResult

PUBLIC_SAP = 16
_MECHANISMS = {
    "none": Mechanism.NONE,
    "lls": Mechanism.LLS,
    "md5": Mechanism.HLS_MD5,
    "sha1": Mechanism.HLS_SHA1,
    "gmac": Mechanism.HLS_GMAC,
    "sha256": Mechanism.HLS_SHA256,
}


class Reader:
    """
    Asks one meter.

    Args: record: the meter's line of a `--keys-out` file. stream: connected; closed by the caller.
        public: ask as the public client. counter: our first invocation counter.
        hdlc: over HDLC instead of the wrapper; `connect` first.
        changes: of the client's settings, e.g. a wrong secret.
    """

    def __init__(
        self,
        record: Mapping[str, Any],
        stream: trio.abc.Stream,
        *,
        public: bool = False,
        counter: int = 1,
        hdlc: bool = False,
        **changes: Any,
    ) -> None:
        settings: dict[str, Any] = {"client_sap": PUBLIC_SAP}
        if not public:
            ciphered = record["mechanism"] == "gmac"
            protection = Protection.AUTHENTICATED_ENCRYPTED if ciphered else Protection.PLAIN
            settings = {
                "client_sap": record["client_sap"],
                "mechanism": _MECHANISMS[record["mechanism"]],
                "secret": _octets(record["secret"]),
                "encryption_key": _octets(record["ek"]),
                "authentication_key": _octets(record["ak"]),
                "system_title": b"HESTEST1",
                "protection": protection,
                "challenge": bytes(range(16)) if _MECHANISMS[record["mechanism"]] in HLS else None,
            }
        settings |= {"server_sap": record["server_sap"], **changes}
        wanted = ClientSettings(**settings)
        self._link: WrapperLink | HdlcLink = (
            HdlcLink(HdlcAddress(wanted.client_sap), HdlcAddress(wanted.server_sap))
            if hdlc
            else WrapperLink(wanted.client_sap, wanted.server_sap)
        )
        self._counters = itertools.count(counter)
        self.client = Client(wanted, self._link, lambda: next(self._counters))
        self._stream = stream
        self.longest_answer_octets = 0
        self.answers = 0

    async def connect(self) -> None:
        """Set up the HDLC link."""
        assert isinstance(self._link, HdlcLink)
        await self._stream.send_all(self._link.connect())
        while not self._link.connected:
            self._link.receive_data(bytes(await self._stream.receive_some(65_536)))

    async def ask(self, request: ClientRequest) -> ClientEvent:
        """One request and the event that completes it."""
        await self._stream.send_all(self.client.send(request))
        while True:
            event = await self._next_event()
            if not isinstance(event, ContinueNeeded):
                return event
            await self._stream.send_all(self.client.send(event.reply))

    async def associate(self) -> AssociationAccepted:
        """Open the association, which must succeed."""
        event = await self.ask(Associate())
        assert isinstance(event, AssociationAccepted), event
        return event

    async def get(
        self, class_id: int, obis: str, index: int, selection: Selection | None = None
    ) -> Data | DataAccessResult:
        """Read an attribute."""
        event = await self.ask(Get(Attribute(class_id, Obis.parse(obis), index), selection))
        assert isinstance(event, GetCompleted), event
        return event.data() if event.result is DataAccessResult.SUCCESS else event.result

    async def release(self) -> None:
        """Close the association."""
        await self.ask(Release())

    async def _next_event(self) -> ClientEvent:
        while (event := self.client.next_event()) is None:
            data = await self._stream.receive_some(65_536)
            if not data:
                raise EOFError("the meter closed the connection")
            self.longest_answer_octets = max(self.longest_answer_octets, len(data))
            self.answers += 1
            self.client.receive_data(bytes(data))
            if octets := self.client.data_to_send():  # of HDLC: go on
                await self._stream.send_all(octets)
        return event


def _octets(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)
