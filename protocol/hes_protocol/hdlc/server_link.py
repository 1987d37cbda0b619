"""
The server's HDLC link: one address, a link with each client that has set one up (IEC 62056-46).

Sans-io and sans-time as `link.py`. Whoever reads a meter under two SAPs over one line sets up two
links; their numbers, segments and associations have nothing to do with each other. An association
lives no longer than its link: `ended_saps` tells the upper layer.

Rule 1: a server speaks when it was polled; only a push goes by itself, in UI frames. Rule 2: a
request is answered where RR would go; a client that polls meanwhile gets its RR at once. Rule 3:
the client that has been silent for longest makes room for a new one.
"""

from __future__ import annotations

from typing import Final

from hes_protocol.errors import FramingError, LocalProtocolError, RemoteProtocolError
from hes_protocol.hdlc import llc
from hes_protocol.hdlc.address import HdlcAddress
from hes_protocol.hdlc.control import Control, ControlKind
from hes_protocol.hdlc.frame import HdlcFrame
from hes_protocol.hdlc.link import LLC_OCTETS, MAX_APDU, NUMBERED
from hes_protocol.hdlc.mailbox import Mailbox
from hes_protocol.hdlc.parameters import LinkParameters
from hes_protocol.hdlc.reassembler import HdlcReassembler
from hes_protocol.hdlc.receiver import HdlcReceiver
from hes_protocol.hdlc.station import Station, longest_information

MAX_CLIENTS: Final = 8
_UA: Final = Control(ControlKind.UA)
_DM: Final = Control(ControlKind.DM)


class HdlcServerLink:
    """
    Carries APDUs in HDLC frames between a server and its clients.

    Frames to any other address, or to ours in another size, are dropped: so are broken ones.

    Args:
        server: our address.
        parameters: the most that we agree to.
        max_apdu: the longest APDU that is taken, octets.
        max_clients: links at a time.
        silence_s: after so much silence a frame that has begun is given up.
    Raises: LocalProtocolError: an address or parameters without a coding.
    """

    def __init__(
        self,
        server: HdlcAddress,
        parameters: LinkParameters | None = None,
        *,
        max_apdu: int = MAX_APDU,
        max_clients: int = MAX_CLIENTS,
        silence_s: float = 1.0,
    ) -> None:
        self.server = server
        self.peer_sap: int | None = None
        self.frames_discarded = 0
        self._offer = parameters or LinkParameters()
        self._offer.check()
        self._max_octets = max_apdu + LLC_OCTETS
        self._max_clients = max_clients
        self._silence_s = silence_s
        self._stations: dict[int, Station] = {}
        self._replies: dict[HdlcAddress, HdlcFrame] = {}
        self._ended: dict[int, None] = {}
        self._proposed: tuple[bytes, LinkParameters] | None = None
        self._mailbox = Mailbox()
        self._receiver = HdlcReceiver()
        self._unnumbered = HdlcReassembler(self._max_octets)
        server.to_octets()

    @property
    def connected_saps(self) -> tuple[int, ...]:
        """The clients that have a link, the one that was heard last at the end."""
        return tuple(self._stations)

    @property
    def timeout_s(self) -> float | None:
        """None but within a frame: it is the client that asks again."""
        return self._silence_s if self._receiver.buffered_octets else None

    # --- sending ----------------------------------------------------------------------------

    def wrap(self, *apdus: bytes) -> bytes:
        """
        Queue an answer, in one APDU or several, to the client whose APDU came last.

        Without a link it goes in UI frames.

        Returns: the frames of it that may go at once; `data_to_send` gives the others.
        Raises: LocalProtocolError: nobody has been heard.
        """
        if self.peer_sap is None or self._mailbox.sender is None:
            raise LocalProtocolError("no client has been heard")
        station = self._stations.get(self.peer_sap)
        if station is None:
            sender = self._mailbox.sender
            return b"".join(self._unasked(sender, apdu) for apdu in apdus)
        for apdu in apdus:
            station.put(llc.add(apdu, response=True))
        return self.data_to_send()

    def push(self, client_sap: int, apdu: bytes) -> bytes:
        """UI frames to a client, with or without a link."""
        station = self._stations.get(client_sap)
        if station is not None:
            return self._unasked(station.peer, apdu)
        return self._unasked(HdlcAddress.of(client_sap), apdu)

    def data_to_send(self) -> bytes:
        """What the link has to say before octets are waited for: UA, DM, segments, RR."""
        replies = list(self._replies.values())
        self._replies.clear()
        for station in self._stations.values():
            station.is_busy = self._is_busy(station)
            replies += [] if station.rejection else station.frames()
        return b"".join(frame.to_octets() for frame in replies)

    def handle_timeout(self) -> bytes:
        """A frame that has begun does not end: look for others within it."""
        self._receiver.receive_end()
        self._receive_frames()
        return self.data_to_send()

    def _unasked(self, client: HdlcAddress, apdu: bytes) -> bytes:
        station = self._stations.get(client.upper)
        parameters = self._offer if station is None else station.parameters
        longest = longest_information(self.server, client, parameters)
        information = llc.add(apdu, response=True)
        frames = HdlcFrame.unnumbered(client, self.server, information, longest)
        return b"".join(frame.to_octets() for frame in frames)

    def _is_busy(self, station: Station) -> bool:
        return self._mailbox.is_full or station.is_overfull

    # --- receiving --------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Take octets that came from the transport, any part of a frame or several frames."""
        self._receiver.receive_data(data)
        self._receive_frames()

    def next_apdu(self) -> bytes | None:
        """
        The next APDU of a client, whose SAP is then `peer_sap`; None until more octets come.

        Raises: FramingError: "bad-llc", segments that do not fit. LimitError: "too-long".
        """
        try:
            return self._mailbox.take()
        finally:
            if self._mailbox.sender is not None:
                self.peer_sap = self._mailbox.sender.upper

    def ended_saps(self) -> tuple[int, ...]:
        """Clients whose link was set up anew or given up since the last call."""
        ended = tuple(self._ended)
        self._ended.clear()
        return ended

    def _receive_frames(self) -> None:
        known = self.server
        while True:
            try:
                frame = self._receiver.next_frame()
            except FramingError:
                self.frames_discarded += 1
                continue
            if frame is None:
                return
            # An address is nearly always the very object of the frame before.
            is_ours = frame.destination is known or frame.destination == self.server
            if is_ours:
                known = frame.destination
            if not is_ours or not self._receive(frame):
                self.frames_discarded += 1

    def _receive(self, frame: HdlcFrame) -> bool:
        """Whether the frame was in its place."""
        station = self._stations.get(frame.source.upper)
        if station is not None and station.peer is not frame.source:
            station = station if station.peer == frame.source else None
        match frame.control.kind:
            case ControlKind.SNRM:
                return self._set_up(frame)
            case ControlKind.DISC:
                if station is not None:
                    self._end(frame.source.upper)
                self._reply(frame, _DM if station is None else _UA)
                return True
            case ControlKind.UI:
                return self._receive_unnumbered(frame)
            case kind if kind in NUMBERED and station is None:
                if frame.control.poll_final:
                    self._reply(frame, _DM)
                return True
            case kind if kind in NUMBERED and station is not None:
                return self._receive_numbered(frame, station)
            case _:
                return False

    def _set_up(self, frame: HdlcFrame) -> bool:
        if self._proposed is None or self._proposed[0] != frame.information:
            try:
                theirs = LinkParameters.from_information(frame.information)
            except FramingError:
                return False
            self._proposed = frame.information, self._offer.agreed_with(theirs)
        agreed = self._proposed[1]
        self._end(frame.source.upper)
        while len(self._stations) >= self._max_clients:
            self._end(next(iter(self._stations)))
        self._stations[frame.source.upper] = Station(
            self.server, frame.source, agreed, is_primary=False, max_octets=self._max_octets
        )
        self._reply(frame, _UA, agreed.to_information())
        return True

    def _end(self, client_sap: int) -> None:
        """What the client has said, and would have been told, is void."""
        self._stations.pop(client_sap, None)
        self._mailbox.drop_from(client_sap)
        self._ended[client_sap] = None

    def _reply(self, frame: HdlcFrame, control: Control, information: bytes = b"") -> None:
        self._replies.pop(frame.source, None)
        while len(self._replies) >= self._max_clients:
            del self._replies[next(iter(self._replies))]
        self._replies[frame.source] = HdlcFrame(
            frame.source, self.server, control, information=information
        )

    def _receive_numbered(self, frame: HdlcFrame, station: Station) -> bool:
        self._stations[frame.source.upper] = self._stations.pop(frame.source.upper)
        station.rejection = station.rejection or station.objection_to(frame)
        if station.rejection is not None:
            if frame.control.poll_final:
                self._replies[frame.source] = station.rejection
            return False
        station.is_busy = self._is_busy(station)
        try:
            information = station.receive(frame)
        except RemoteProtocolError as error:
            self._mailbox.put_error(frame.source, error)
        else:
            if information is not None:
                self._mailbox.put(frame.source, information)
        return True

    def _receive_unnumbered(self, frame: HdlcFrame) -> bool:
        if self._mailbox.is_full:
            return False
        try:
            information = self._unnumbered.receive_frame(frame)
        except RemoteProtocolError as error:
            self._mailbox.put_error(frame.source, error)
        else:
            if information is not None:
                self._mailbox.put(frame.source, information)
        return True
