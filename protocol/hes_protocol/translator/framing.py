"""
Octets in any framing -> what they carry and between whom, going on behind a bad frame.

Rule 1: an error or a gap is told to the `Report` and never raised. Rule 2: what has not come whole
by the end is carried with `whole` False, if the checks of the frames that it came in are right.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Final

import attrs

from hes_protocol.errors import FramingError, RemoteProtocolError, TruncatedError
from hes_protocol.hdlc import ControlKind, HdlcReassembler, HdlcReceiver, llc
from hes_protocol.mbus import MBusReassembler, MBusReceiver
from hes_protocol.translator.result import TransportKind
from hes_protocol.wrapper import WrapperReceiver

_MAX_FRAME: Final = 2048
_MAX_APDU: Final = 65_535
_CARRIERS: Final = (ControlKind.I, ControlKind.UI)
# IEC 61334-4-32, the LLC of power line carriers: quality, destination and source LSAP.
_PLC_QUALITY: Final = 0x90
_PLC_OCTETS: Final = 3


@attrs.frozen
class Carried:
    """One APDU, or its beginning where not `whole`, and who sent it to whom."""

    apdu: bytes = attrs.field(repr=False)
    source: Hashable = None
    destination: Hashable = None
    whole: bool = True


@attrs.define
class Report:
    """What the framing tells: how many frames, whether all is there, the first that is broken."""

    frames: int = 0
    complete: bool = True
    error: RemoteProtocolError | None = None

    def fail(self, error: RemoteProtocolError) -> None:
        """Take note of what was raised: an early end is no error."""
        if isinstance(error, TruncatedError):
            self.complete = False
        elif self.error is None:
            self.error = error


def detect(octets: bytes) -> TransportKind:
    """The framing that the first octets look like; APDU where they look like none."""
    if octets[:1] == b"\x7e":
        return TransportKind.HDLC
    if octets[:2] == b"\x00\x01":
        return TransportKind.WRAPPER
    if llc.is_llc(octets) or octets[:3] == bytes((_PLC_QUALITY, 1, 1)):
        return TransportKind.LLC
    if octets[:1] == b"\x68" == octets[3:4] and octets[1:2] == octets[2:3]:
        return TransportKind.MBUS
    if octets[:1] == b"/":
        return TransportKind.P1
    return TransportKind.APDU


def carried(
    transport: TransportKind, datagrams: Sequence[bytes], report: Report
) -> Iterator[Carried]:
    """
    All APDUs of the datagrams, in their order.

    Args: transport: any but AUTO. datagrams: one stream, or APDUs by themselves where the
        transport does not delimit them. report: is told what goes wrong.
    """
    reader = _READERS.get(transport)
    if reader is None:
        report.fail(FramingError("transport-unsupported", transport))
        return
    yield from reader(datagrams, report)


def _read_hdlc(datagrams: Sequence[bytes], report: Report) -> Iterator[Carried]:
    receiver = HdlcReceiver(_MAX_FRAME)
    reassembler = HdlcReassembler(_MAX_APDU)
    receiver.receive_data(b"".join(datagrams))
    while True:
        try:
            frame = receiver.next_frame()
            if frame is None:
                break
            report.frames += 1
            if frame.control.kind in _CARRIERS:
                information = reassembler.receive_frame(frame)
                if information:
                    apdu = llc.apdu_in(information)
                    yield Carried(apdu, frame.source, frame.destination)
        except RemoteProtocolError as error:
            report.fail(error)
    for (destination, source), information in reassembler.pending_fields().items():
        report.complete = False
        if llc.is_llc(information):
            yield Carried(llc.strip(information), source, destination, whole=False)
    if receiver.buffered_octets:
        report.complete = False


def _read_mbus(datagrams: Sequence[bytes], report: Report) -> Iterator[Carried]:
    receiver = MBusReceiver()
    reassembler = MBusReassembler(_MAX_APDU)
    receiver.receive_data(b"".join(datagrams))
    receiver.receive_end()
    while True:
        try:
            frame = receiver.next_frame()
            if frame is None:
                break
            report.frames += 1
            apdu = reassembler.receive_frame(frame)
            if apdu is not None:
                yield Carried(apdu, frame.source_sap, frame.destination_sap)
        except FramingError as error:
            if error.code == "truncated":
                report.complete = False
            else:
                report.fail(error)
        except RemoteProtocolError as error:
            report.fail(error)
    for (_, source, destination), pieces in reassembler.pending_pieces().items():
        report.complete = False
        yield Carried(pieces, source, destination, whole=False)


def _read_wrapper(datagrams: Sequence[bytes], report: Report) -> Iterator[Carried]:
    receiver = WrapperReceiver(_MAX_APDU)
    receiver.receive_data(b"".join(datagrams))
    try:
        while (frame := receiver.next_frame()) is not None:
            report.frames += 1
            yield Carried(frame.apdu, frame.source, frame.destination)
    except RemoteProtocolError as error:
        report.fail(error)
        return
    if receiver.buffered_octets:
        report.complete = False


def _read_llc(datagrams: Sequence[bytes], report: Report) -> Iterator[Carried]:
    for datagram in datagrams:
        report.frames += 1
        if datagram[:1] == bytes((_PLC_QUALITY,)) and len(datagram) > _PLC_OCTETS:
            yield Carried(datagram[_PLC_OCTETS:])
            continue
        try:
            yield Carried(llc.apdu_in(datagram) if datagram else b"")
        except RemoteProtocolError as error:
            report.fail(error)


def _read_apdus(datagrams: Sequence[bytes], report: Report) -> Iterator[Carried]:
    for datagram in datagrams:
        report.frames += 1
        yield Carried(datagram)


_READERS: Final[Mapping[TransportKind, Callable[[Sequence[bytes], Report], Iterator[Carried]]]] = {
    TransportKind.HDLC: _read_hdlc,
    TransportKind.MBUS: _read_mbus,
    TransportKind.WRAPPER: _read_wrapper,
    TransportKind.LLC: _read_llc,
    TransportKind.APDU: _read_apdus,
}
