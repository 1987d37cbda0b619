"""
The client's HDLC link: from SNRM to DISC, APDUs in I frames between (IEC 62056-46).

Sans-io and sans-time: the caller writes what `wrap`, `data_to_send` and `handle_timeout` give,
waits for octets no longer than `timeout_s`, and says so when none came. Frames that are broken,
not addressed to us, or out of place are dropped and counted, since the next poll mends it; what
ends the link, and what makes an APDU unreadable, is raised by `next_apdu` in its turn.

Rule 1: one link, one association: the meter forgets its association when the link is set up again,
so nothing but `connect` and the first `wrap` set it up. Rule 2: a meter that is alive but has not
answered is polled for as long as the caller waits; one that is silent is asked `max_retries` times
more. Rule 3: what arrives costs no more memory than one APDU being joined and eight to be fetched.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import Final

from hes_protocol.errors import FramingError, LocalProtocolError, RemoteProtocolError
from hes_protocol.hdlc import llc
from hes_protocol.hdlc.address import HdlcAddress
from hes_protocol.hdlc.control import Control, ControlKind
from hes_protocol.hdlc.frame import HdlcFrame
from hes_protocol.hdlc.mailbox import Mailbox
from hes_protocol.hdlc.parameters import LinkParameters
from hes_protocol.hdlc.reassembler import HdlcReassembler
from hes_protocol.hdlc.receiver import HdlcReceiver
from hes_protocol.hdlc.station import Station

MAX_APDU: Final = 0x10000
LLC_OCTETS: Final = 3
NUMBERED: Final = frozenset({ControlKind.I, ControlKind.RR, ControlKind.RNR})


class _State(Enum):
    IDLE = auto()
    CONNECTING = auto()
    CONNECTED = auto()
    DISCONNECTING = auto()
    LOST = auto()


class HdlcLink:
    """
    Carries APDUs in HDLC frames from a client to one server.

    The first `wrap` sets the link up by itself; the APDU follows when the server has agreed.

    Args:
        client: our address; its upper part is our SAP.
        server: the meter's: logical and, where it wants one, physical device.
        parameters: what we propose; the defaults are proposed by saying nothing.
        max_apdu: the longest APDU that is taken, octets.
        max_retries: how often a silent server is asked again.
        answer_s: how long the server may stay silent.
        poll_s: how long after a server said that it has nothing it is asked anew.
    Raises: LocalProtocolError: an address or parameters without a coding.
    """

    def __init__(
        self,
        client: HdlcAddress,
        server: HdlcAddress,
        parameters: LinkParameters | None = None,
        *,
        max_apdu: int = MAX_APDU,
        max_retries: int = 3,
        answer_s: float = 5.0,
        poll_s: float = 0.5,
    ) -> None:
        self.client = client
        self.server = server
        self.frames_discarded = 0
        self._proposal = parameters or LinkParameters()
        self._proposal.check()
        self._max_octets = max_apdu + LLC_OCTETS
        self._max_retries = max_retries
        self._answer_s = answer_s
        self._poll_s = poll_s
        self._state = _State.IDLE
        self._station: Station | None = None
        self._early: deque[bytes] = deque()
        self._mailbox = Mailbox()
        self._receiver = HdlcReceiver()
        self._pushed = HdlcReassembler(self._max_octets)
        self._retries = 0
        server.to_octets(), client.to_octets()

    @property
    def connected(self) -> bool:
        """Whether the server has agreed to a link that still stands."""
        return self._state is _State.CONNECTED

    @property
    def parameters(self) -> LinkParameters | None:
        """What was agreed on, seen from us; None without a link."""
        return None if self._station is None else self._station.parameters

    @property
    def timeout_s(self) -> float | None:
        """How long to wait for octets before `handle_timeout`; None where there is no link."""
        if self._state in (_State.IDLE, _State.LOST):
            return None
        idle = self._station is not None and self._station.has_turn
        return self._poll_s if self.connected and idle else self._answer_s

    # --- sending ----------------------------------------------------------------------------

    def connect(self) -> bytes:
        """SNRM: set the link up, or anew; what was under way on it is gone."""
        self._station = None
        self._early.clear()
        self._begin(_State.CONNECTING)
        return self._set_mode()

    def disconnect(self) -> bytes:
        """DISC, b"" where there is no link."""
        if self._state not in (_State.CONNECTING, _State.CONNECTED):
            return b""
        self._begin(_State.DISCONNECTING)
        return self._command(ControlKind.DISC)

    def wrap(self, *apdus: bytes) -> bytes:
        """
        Queue one APDU, or several: the turn is given away behind what the window takes of them.

        Returns: the frames of them that may go at once; `data_to_send` gives the others.
        Raises: LocalProtocolError: no octets, or a link that we are giving up. FramingError:
            "link-lost".
        """
        if not all(apdus):
            raise LocalProtocolError("an APDU of no octets")
        queued = [llc.add(apdu, response=False) for apdu in apdus]
        match self._state:
            case _State.IDLE:
                octets = self.connect()
                self._early.extend(queued)
                return octets
            case _State.CONNECTING:
                self._early.extend(queued)
                return b""
            case _State.CONNECTED:
                assert self._station is not None
                for information in queued:
                    self._station.put(information)
                return self.data_to_send()
            case _State.LOST:
                raise FramingError("link-lost", "connect() first")
            case _State.DISCONNECTING:
                raise LocalProtocolError("the link is being given up")

    def data_to_send(self) -> bytes:
        """What the link has to say before octets are waited for: segments that are due, a poll."""
        if self._station is None or not self.connected:
            return b""
        self._station.is_busy = self._mailbox.is_full
        return b"".join(frame.to_octets() for frame in self._station.frames())

    def handle_timeout(self) -> bytes:
        """
        No octets have come for `timeout_s`: say the last command again, or poll.

        Raises: FramingError: "no-answer": the server stays silent; the link is lost.
        """
        self._receiver.receive_end()
        heard = self._receive_frames()
        if heard:
            return self.data_to_send()
        station = self._station
        if station is None or not station.has_turn:
            self._retries += 1
        if self._retries > self._max_retries:
            self._begin(_State.LOST)
            raise FramingError("no-answer", f"asked {self._max_retries + 1} times")
        match self._state:
            case _State.CONNECTING:
                return self._set_mode()
            case _State.DISCONNECTING:
                return self._command(ControlKind.DISC)
            case _State.CONNECTED:
                assert station is not None
                station.resume()
                return self.data_to_send() or station.poll().to_octets()
            case _:
                return b""

    def _begin(self, state: _State) -> None:
        self._state = state
        self._retries = 0
        if state is not _State.CONNECTED:
            self._station = None

    def _set_mode(self) -> bytes:
        default = self._proposal == LinkParameters()
        return self._command(ControlKind.SNRM, b"" if default else self._proposal.to_information())

    def _command(self, kind: ControlKind, information: bytes = b"") -> bytes:
        control = Control(kind)
        return HdlcFrame(self.server, self.client, control, information=information).to_octets()

    # --- receiving --------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Take octets that came from the transport, any part of a frame or several frames."""
        self._receiver.receive_data(data)
        self._receive_frames()

    def next_apdu(self) -> bytes | None:
        """
        The next APDU of the server, or None until more octets come.

        Raises:
            FramingError: "bad-llc"; and where the link is lost: "disconnected" (DM),
                "frame-rejected" (FRMR), "bad-parameters" (UA).
            LimitError: "too-long".
        """
        return self._mailbox.take()

    def _receive_frames(self) -> bool:
        """Deal with all frames that are there; whether the server was heard."""
        heard = False
        while True:
            try:
                frame = self._receiver.next_frame()
            except FramingError:
                self.frames_discarded += 1
                continue
            if frame is None:
                return heard
            if self._is_ours(frame) and self._receive(frame):
                heard = True
                self._retries = 0
            else:
                self.frames_discarded += 1

    def _is_ours(self, frame: HdlcFrame) -> bool:
        source = frame.source
        return (
            frame.destination.upper == self.client.upper
            and source.upper == self.server.upper
            and (self.server.lower is None or source.lower == self.server.lower)
        )

    def _receive(self, frame: HdlcFrame) -> bool:
        """Whether the frame was in its place."""
        match frame.control.kind:
            case ControlKind.UI:
                return self._receive_pushed(frame)
            case kind if kind in NUMBERED:
                return self._receive_numbered(frame)
            case ControlKind.UA:
                return self._receive_ua(frame)
            case ControlKind.DM:
                return self._receive_end(frame, "disconnected")
            case ControlKind.FRMR if self.connected:
                return self._receive_end(frame, "frame-rejected")
            case _:
                return False

    def _receive_pushed(self, frame: HdlcFrame) -> bool:
        if self._mailbox.is_full:
            return False
        try:
            information = self._pushed.receive_frame(frame)
        except RemoteProtocolError as error:
            self._mailbox.put_error(frame.source, error)
        else:
            if information is not None:
                self._mailbox.put(frame.source, information)
        return True

    def _receive_numbered(self, frame: HdlcFrame) -> bool:
        station = self._station
        if station is None:
            # Some meters push in I frames without any link.
            is_push = self._state is _State.IDLE and frame.control.kind is ControlKind.I
            return is_push and self._receive_pushed(frame)
        if station.objection_to(frame) is not None:
            return False
        station.is_busy = self._mailbox.is_full
        try:
            information = station.receive(frame)
        except RemoteProtocolError as error:
            self._mailbox.put_error(frame.source, error)
        else:
            if information is not None:
                self._mailbox.put(frame.source, information)
        return True

    def _receive_ua(self, frame: HdlcFrame) -> bool:
        if self._state is _State.DISCONNECTING:
            self._begin(_State.IDLE)
            return True
        if self._state is not _State.CONNECTING:
            return False
        try:
            theirs = LinkParameters.from_information(frame.information)
        except FramingError as error:
            self._begin(_State.LOST)
            self._mailbox.put_error(frame.source, error)
            return True
        self._begin(_State.CONNECTED)
        self._station = Station(
            self.client,
            self.server,
            self._proposal.agreed_with(theirs),
            is_primary=True,
            max_octets=self._max_octets,
        )
        while self._early:
            self._station.put(self._early.popleft())
        return True

    def _receive_end(self, frame: HdlcFrame, code: str) -> bool:
        if self._state is _State.DISCONNECTING:
            self._begin(_State.IDLE)
        elif self._state in (_State.CONNECTING, _State.CONNECTED):
            self._begin(_State.LOST)
            self._mailbox.put_error(
                frame.source, FramingError(code, f"{frame.control.kind} ends the link")
            )
        else:
            return False
        return True
