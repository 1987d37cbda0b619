"""
Octets of any transport -> frames, APDUs and readings: the engineer's view.

Unlike an association, which refuses what its policy forbids, the translator shows whatever can be
read: it opens ciphered APDUs with the keys it is given, says whether the tag was verified, puts
segments and blocks together, names the values of responses by the requests before them, and goes
on after a frame that is broken. It keeps nothing and trusts nothing; nobody may act on its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Any, Final, TypeAlias

import attrs

from hes_protocol.acse import Aare, Aarq
from hes_protocol.axdr import Data, DataTag, decode_all
from hes_protocol.cosem import Attribute, CosemDateTime, Obis
from hes_protocol.errors import (
    FramingError,
    LocalProtocolError,
    RemoteProtocolError,
    SecurityError,
    TruncatedError,
)
from hes_protocol.hdlc import ControlKind, HdlcReassembler, HdlcReceiver, llc
from hes_protocol.models import PushLayout
from hes_protocol.push import read_push
from hes_protocol.security import (
    SuiteKeys,
    Unprotected,
    decipher_unverified,
    unprotect,
)
from hes_protocol.wrapper import WrapperReceiver
from hes_protocol.xdlms import (
    Apdu,
    Ciphered,
    DataAccessResult,
    DataNotification,
    EventNotification,
    GeneralBlockTransfer,
    GetDataResult,
    GetRequestNormal,
    GetRequestWithList,
    GetResponseNormal,
    GetResponseWithDatablock,
    GetResponseWithList,
    decode_apdu,
)
from hes_protocol.xdlms.block_transfer import GENERAL_BLOCK_TRANSFER

_MAX_FRAME: Final = 2048
_MAX_APDU: Final = 65_535
_NO_UNIT: Final = 255
_CARRIERS: Final = (ControlKind.I, ControlKind.UI)
_SEQUENCES: Final = (DataTag.ARRAY, DataTag.STRUCTURE, DataTag.COMPACT_ARRAY)
# A ciphered APDU holds a plain one; more than this many layers nobody sends.
_MAX_LAYERS: Final = 4


class TransportKind(StrEnum):
    """What the octets are framed in."""

    AUTO = "auto"
    HDLC = "hdlc"
    WRAPPER = "wrapper"
    MBUS = "mbus"
    LLC = "llc"
    P1 = "p1"
    APDU = "apdu"


@attrs.frozen
class TranslatorKeys:
    """
    Keys to open ciphered APDUs with, as far as they are known; prints none of them.

    `client_system_title` and `server_system_title` stand in where neither APDU nor association
    gives one.
    """

    encryption_key: bytes | None = attrs.field(default=None, repr=False)
    authentication_key: bytes | None = attrs.field(default=None, repr=False)
    client_system_title: bytes | None = None
    server_system_title: bytes | None = None


Content: TypeAlias = Apdu | Data


@attrs.frozen
class TranslatedApdu:
    """
    One APDU.

    `content` is the plain APDU, a bare `Data`, or the `Ciphered` that could not be opened;
    `octets` is the length of the APDU as it was framed.
    `tag_verified` is None where there was no tag, or no authentication key to check it with.
    """

    content: Content
    octets: int
    plain: bytes | None = attrs.field(default=None, repr=False)
    system_title: bytes | None = None
    invocation_counter: int | None = None
    security_control: int | None = None
    tag_verified: bool | None = None


@attrs.frozen
class TranslatedReading:
    """One value with the object that it belongs to (None: nothing names it)."""

    obis: Obis | None
    class_id: int
    attribute_index: int
    data: Data
    scaler: int = 0
    unit: int = _NO_UNIT
    captured_at: CosemDateTime | None = None


@attrs.frozen
class Translation:
    """
    Everything that was found. `complete` is False where the octets end early; `error` is the
    first thing that was broken.
    """

    transport: TransportKind
    frames: int
    complete: bool
    apdus: tuple[TranslatedApdu, ...]
    readings: tuple[TranslatedReading, ...]
    error: RemoteProtocolError | None


def translate(
    octets: bytes | Sequence[bytes],
    transport: TransportKind = TransportKind.AUTO,
    keys: TranslatorKeys | None = None,
    layouts: Sequence[PushLayout] = (),
) -> Translation:
    """
    Read octets, whatever they are.

    Args:
        octets: a stream, or a sequence of datagrams (for transports that do not delimit).
        transport: the framing; AUTO looks at the first octets.
        keys: to open ciphered APDUs with.
        layouts: push layouts of meter models, see `hes_protocol.push`.
    Returns: what could be read, whether it was all, and what was broken.
    """
    datagrams = (octets,) if isinstance(octets, bytes) else tuple(octets)
    if transport is TransportKind.AUTO:
        transport = detect(b"".join(datagrams))
    translator = _Translator(transport, keys or TranslatorKeys(), layouts)
    translator.read(datagrams)
    return translator.result()


def detect(octets: bytes) -> TransportKind:
    """The framing that the first octets look like; APDU where they look like none."""
    if octets[:1] == b"\x7e":
        return TransportKind.HDLC
    if octets[:2] == b"\x00\x01":
        return TransportKind.WRAPPER
    if octets[:3] in (llc.COMMAND, llc.RESPONSE):
        return TransportKind.LLC
    if octets[:1] == b"\x68" and octets[3:4] == b"\x68":
        return TransportKind.MBUS
    if octets[:1] == b"/":
        return TransportKind.P1
    return TransportKind.APDU


class _Translator:
    """The state of one translation: titles, requests and blocks seen so far."""

    def __init__(
        self, transport: TransportKind, keys: TranslatorKeys, layouts: Sequence[PushLayout]
    ) -> None:
        self._transport = transport
        self._layouts = layouts
        self._suite_keys: SuiteKeys | None = None
        self._authenticates = keys.authentication_key is not None
        self._client_title = keys.client_system_title
        self._server_title = keys.server_system_title
        self._error: RemoteProtocolError | None = None
        if keys.encryption_key is not None:
            try:
                self._suite_keys = SuiteKeys(keys.encryption_key, keys.authentication_key)
            except LocalProtocolError as error:
                self._error = SecurityError("suite-unsupported", str(error))
        self._frames = 0
        self._complete = True
        self._apdus: list[TranslatedApdu] = []
        self._readings: list[TranslatedReading] = []
        self._asked: tuple[Attribute, ...] = ()
        self._blocks: list[bytes] = []
        self._general_blocks: list[bytes] = []

    def result(self) -> Translation:
        return Translation(
            transport=self._transport,
            frames=self._frames,
            complete=self._complete and not self._blocks and not self._general_blocks,
            apdus=tuple(self._apdus),
            readings=tuple(self._readings),
            error=self._error,
        )

    def read(self, datagrams: Sequence[bytes]) -> None:
        readers: dict[TransportKind, Callable[[Sequence[bytes]], Iterator[bytes]]] = {
            TransportKind.HDLC: self._read_hdlc,
            TransportKind.WRAPPER: self._read_wrapper,
            TransportKind.LLC: self._read_llc,
            TransportKind.APDU: self._read_apdus,
        }
        reader = readers.get(self._transport)
        if reader is None:
            self._fail(FramingError("transport-unsupported", self._transport))
            return
        for apdu in reader(datagrams):
            self._guard(self._apdu, apdu)

    def _fail(self, error: RemoteProtocolError) -> None:
        if isinstance(error, TruncatedError):
            self._complete = False
        elif self._error is None:
            self._error = error

    def _guard(self, step: Callable[..., None], *arguments: Any) -> None:
        try:
            step(*arguments)
        except RemoteProtocolError as error:
            self._fail(error)

    # --- framing ------------------------------------------------------------------------------

    def _read_hdlc(self, datagrams: Sequence[bytes]) -> Iterator[bytes]:
        receiver = HdlcReceiver(_MAX_FRAME)
        reassembler = HdlcReassembler(_MAX_APDU)
        receiver.receive_data(b"".join(datagrams))
        while True:
            try:
                frame = receiver.next_frame()
                if frame is None:
                    break
                self._frames += 1
                if frame.control.kind in _CARRIERS:
                    information = reassembler.receive_frame(frame)
                    # Landis+Gyr E450 and E570: only the first general block has an LLC header.
                    if information and information[0] == GENERAL_BLOCK_TRANSFER:
                        yield information
                    elif information:
                        yield llc.strip(information)
            except RemoteProtocolError as error:
                self._fail(error)
        if receiver.buffered_octets or reassembler.pending_octets:
            self._complete = False

    def _read_wrapper(self, datagrams: Sequence[bytes]) -> Iterator[bytes]:
        receiver = WrapperReceiver(_MAX_APDU)
        receiver.receive_data(b"".join(datagrams))
        try:
            while (frame := receiver.next_frame()) is not None:
                self._frames += 1
                yield frame.apdu
        except RemoteProtocolError as error:
            self._fail(error)
            return
        if receiver.buffered_octets:
            self._complete = False

    def _read_llc(self, datagrams: Sequence[bytes]) -> Iterator[bytes]:
        for datagram in datagrams:
            self._frames += 1
            try:
                yield llc.strip(datagram)
            except RemoteProtocolError as error:
                self._fail(error)

    def _read_apdus(self, datagrams: Sequence[bytes]) -> Iterator[bytes]:
        for datagram in datagrams:
            self._frames += 1
            yield datagram

    # --- APDUs --------------------------------------------------------------------------------

    def _apdu(self, octets: bytes) -> None:
        try:
            content: Content = decode_apdu(octets)
        except RemoteProtocolError as error:
            bare = self._bare_data(octets)
            if bare is None:
                raise error from None
            content = bare
        if isinstance(content, Ciphered):
            self._open(content, len(octets))
        else:
            self._take(TranslatedApdu(content, len(octets)))

    def _bare_data(self, octets: bytes) -> Data | None:
        """COSEM data without an APDU around it, as engineers paste it."""
        if self._transport is not TransportKind.APDU:
            return None
        try:
            return decode_all(octets)
        except RemoteProtocolError:
            return None

    def _open(self, ciphered: Ciphered, octets: int, layers: int = 1) -> None:
        """Decipher, and go on with what is inside."""
        title = ciphered.system_title or self._title_of(ciphered)
        seen = TranslatedApdu(
            ciphered,
            octets,
            system_title=title,
            invocation_counter=ciphered.invocation_counter,
            security_control=ciphered.control.to_octet(),
        )
        try:
            opened = self._unprotect(ciphered, title)
        except RemoteProtocolError as error:
            verified = False if error.code == "tag-mismatch" else None
            self._apdus.append(attrs.evolve(seen, tag_verified=verified))
            raise
        seen = attrs.evolve(
            seen,
            plain=opened.plaintext,
            tag_verified=True if opened.authenticated else None,
        )
        try:
            content = decode_apdu(opened.plaintext)
        except RemoteProtocolError:
            self._apdus.append(seen)
            raise
        if isinstance(content, Ciphered) and layers < _MAX_LAYERS:
            self._apdus.append(seen)
            self._open(content, len(opened.plaintext), layers + 1)
        else:
            self._take(attrs.evolve(seen, content=content))

    def _unprotect(self, ciphered: Ciphered, title: bytes | None) -> Unprotected:
        if self._suite_keys is None:
            raise SecurityError("key-missing", "encryption key", apdu_tag=ciphered.tag)
        if title is None:
            raise SecurityError("key-missing", "system title of the sender", apdu_tag=ciphered.tag)
        if ciphered.control.protection.authenticated and not self._authenticates:
            return decipher_unverified(self._suite_keys, title, ciphered.content)
        return unprotect(self._suite_keys, title, ciphered.content)

    def _title_of(self, ciphered: Ciphered) -> bytes | None:
        """Who sent a service-specific ciphered APDU: a client asks, a server answers."""
        # Requests are 0x01 and 0xC0..0xC3 but for event-notification; all else comes from servers.
        from_client = ciphered.plain_tag in (0x01, 0xC0, 0xC1, 0xC3)
        if from_client:
            return self._client_title
        return self._server_title

    def _take(self, apdu: TranslatedApdu) -> None:
        content = apdu.content
        self._apdus.append(apdu)
        match content:
            case Data():
                pass
            case Aarq():
                self._client_title = content.calling_ap_title or self._client_title
                self._user_information(content.user_information)
            case Aare():
                self._server_title = content.responding_ap_title or self._server_title
                self._user_information(content.user_information)
            case DataNotification():
                self._push(content)
            case EventNotification():
                self._value(content.attribute, content.value, content.time)
            case GetRequestNormal():
                self._asked = (content.attribute,)
                self._blocks.clear()
            case GetRequestWithList():
                self._asked = tuple(access.attribute for access in content.accesses)
                self._blocks.clear()
            case GetResponseNormal():
                self._answers((content.result,))
            case GetResponseWithList():
                self._answers(content.results)
            case GetResponseWithDatablock():
                self._block(content)
            case GeneralBlockTransfer():
                self._general_block(content)
            case _:
                pass

    def _user_information(self, octets: bytes | None) -> None:
        """The initiate inside an AARQ or AARE, often ciphered."""
        if octets:
            self._apdu(octets)

    def _push(self, notification: DataNotification) -> None:
        moment = (
            None
            if notification.date_time is None
            else CosemDateTime.from_octets(notification.date_time)
        )
        push = read_push(notification.body, moment, self._layouts)
        for value in push.values:
            self._readings.append(
                TranslatedReading(
                    obis=value.obis,
                    class_id=value.class_id,
                    attribute_index=value.attribute_index,
                    data=value.data,
                    scaler=value.scaler,
                    unit=value.unit,
                    captured_at=value.captured_at or push.captured_at,
                )
            )

    def _answers(self, results: Sequence[GetDataResult]) -> None:
        asked = self._asked if len(self._asked) == len(results) else ()
        self._asked = ()
        for index, result in enumerate(results):
            if result.result is not DataAccessResult.SUCCESS:
                continue
            # Decoded even if nobody knows what was asked: an answer may be cut.
            data = result.data()
            if asked:
                self._value(asked[index], data)

    def _value(self, attribute: Attribute, data: Data, time: bytes | None = None) -> None:
        if data.tag in _SEQUENCES or data.tag is DataTag.NULL_DATA:
            return
        moment = None if time is None else CosemDateTime.from_octets(time)
        self._readings.append(
            TranslatedReading(
                attribute.obis, attribute.class_id, attribute.index, data, captured_at=moment
            )
        )

    def _block(self, block: GetResponseWithDatablock) -> None:
        if block.block_number == 1:
            self._blocks.clear()
        elif not self._blocks:
            return  # the first blocks were not captured
        self._blocks.append(block.raw_data)
        if block.last_block:
            joined = b"".join(self._blocks)
            self._blocks.clear()
            if joined:
                data = decode_all(joined)
                self._apdus.append(TranslatedApdu(data, len(joined), plain=joined))
                if len(self._asked) == 1:
                    self._value(self._asked[0], data)

    def _general_block(self, block: GeneralBlockTransfer) -> None:
        if block.block_number == 1:
            self._general_blocks.clear()
        elif len(self._general_blocks) != block.block_number - 1:
            self._complete = False
            self._general_blocks.clear()
            return
        self._general_blocks.append(block.block_data)
        if block.last_block:
            joined = b"".join(self._general_blocks)
            self._general_blocks.clear()
            self._apdu(joined)
