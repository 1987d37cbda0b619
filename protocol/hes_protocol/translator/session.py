"""One translation: opens, names and puts together what the framing carries."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Final

import attrs

from hes_protocol.acse import Aare, Aarq, Rlre, Rlrq
from hes_protocol.axdr import Data, decode_all
from hes_protocol.cosem import CosemDateTime
from hes_protocol.errors import (
    RemoteProtocolError,
    SecurityError,
    TruncatedError,
)
from hes_protocol.models import PushLayout
from hes_protocol.push import read_push
from hes_protocol.translator.conversation import Conversation
from hes_protocol.translator.fragment import read_ciphered_fragment, read_fragment
from hes_protocol.translator.framing import Carried, Report
from hes_protocol.translator.keyring import KeyRing, title_of, without_the_tag_it_counts
from hes_protocol.translator.result import (
    Content,
    Fragment,
    TranslatedApdu,
    TranslatedReading,
    Translation,
    TranslatorKeys,
    TransportKind,
)
from hes_protocol.xdlms import (
    AccessRequest,
    AccessResponse,
    AttributeAccess,
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
    InitiateRequest,
    decode_apdu,
)
from hes_protocol.xdlms.get import decode_data_results

# A ciphered APDU holds a plain one; more than this many layers nobody sends.
_MAX_LAYERS: Final = 4
_MAX_CONVERSATIONS: Final = 64


class Session:
    """
    What has been said so far, between however many.

    Args: transport: as told or found. keys: to open what is ciphered. layouts: of pushes that
        leave names out.
    """

    def __init__(
        self, transport: TransportKind, keys: TranslatorKeys, layouts: Sequence[PushLayout]
    ) -> None:
        self._report = Report()
        self._transport = transport
        self._layouts = layouts
        self._known = keys
        try:
            self._ring = KeyRing(keys)
        except SecurityError as error:
            self._report.fail(error)
            self._ring = KeyRing(TranslatorKeys())
        self._apdus: list[TranslatedApdu] = []
        self._conversations: dict[frozenset[Hashable], Conversation] = {}
        self._order: list[tuple[Conversation, int]] = []
        self._talk = self._conversation(None, None)
        self._source: Hashable = None

    @property
    def report(self) -> Report:
        """What the framing is to tell its troubles to."""
        return self._report

    def read(self, apdus: Iterable[Carried]) -> None:
        """Take in everything that is carried."""
        for carried in apdus:
            self._talk = self._conversation(carried.source, carried.destination)
            self._source = carried.source
            if carried.whole:
                self._guarded(carried.apdu)
            else:
                self._take_beginning(carried.apdu)
        for talk in self._conversations.values():
            self._talk = talk
            for pending in talk.pending_general_blocks():
                self._take_beginning(pending)

    def result(self) -> Translation:
        """The answer, once everything is in."""
        unfinished = any(talk.unfinished for talk in self._conversations.values())
        return Translation(
            transport=self._transport,
            frames=self._report.frames,
            complete=self._report.complete and not unfinished,
            apdus=tuple(self._apdus),
            readings=tuple(talk.finish(talk.readings[index]) for talk, index in self._order),
            error=self._report.error,
        )

    def _conversation(self, source: Hashable, destination: Hashable) -> Conversation:
        pair = frozenset((source, destination))
        if pair not in self._conversations and len(self._conversations) >= _MAX_CONVERSATIONS:
            pair = frozenset((None,))
        if pair not in self._conversations:
            self._conversations[pair] = Conversation(
                self._known.client_system_title, self._known.server_system_title
            )
        return self._conversations[pair]

    def _guarded(self, octets: bytes) -> None:
        known = len(self._talk.readings)
        try:
            self._apdu(octets)
        except RemoteProtocolError as error:
            self._report.fail(error)
            if isinstance(error, TruncatedError) and len(self._talk.readings) == known:
                self._take_beginning(octets)
                return
        self._keep_order(known)

    def _keep_order(self, known: int) -> None:
        new = range(known, len(self._talk.readings))
        self._order.extend((self._talk, index) for index in new)

    # --- beginnings ---------------------------------------------------------------------------

    def _take_beginning(self, octets: bytes) -> None:
        """What there is of an APDU whose end did not come; ciphered, it has no tag to check."""
        whole_octets = len(octets)
        plain: bytes | None = None
        ciphered: Ciphered | None = None
        cut = read_ciphered_fragment(octets)
        if cut is not None:
            ciphered = cut[0]
            try:
                plain = self._ring.open_beginning(ciphered, self._talk)
            except RemoteProtocolError:
                plain = None
            octets = plain or b""
        fragment = read_fragment(octets)
        if fragment is None:
            return
        self._apdus.append(
            TranslatedApdu(
                fragment,
                whole_octets,
                plain=plain,
                system_title=None if ciphered is None else ciphered.system_title,
                invocation_counter=None if ciphered is None else ciphered.invocation_counter,
                security_control=None if ciphered is None else ciphered.control.to_octet(),
            )
        )
        if fragment.apdu == "data-notification" and fragment.value is not None:
            known = len(self._talk.readings)
            self._push(fragment.value, fragment.date_time, fragment)
            self._keep_order(known)

    # --- APDUs --------------------------------------------------------------------------------

    def _apdu(self, octets: bytes) -> None:
        try:
            content: Content = decode_apdu(octets)
        except RemoteProtocolError as error:
            bare: Content | None = self._bare_data(octets) or without_the_tag_it_counts(octets)
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
        title = title_of(ciphered, self._talk)
        seen = TranslatedApdu(
            ciphered,
            octets,
            system_title=title,
            invocation_counter=ciphered.invocation_counter,
            security_control=ciphered.control.to_octet(),
        )
        try:
            opened = self._ring.open(ciphered, title, self._talk)
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

    def _take(self, apdu: TranslatedApdu) -> None:
        content, talk = apdu.content, self._talk
        self._apdus.append(apdu)
        match content:
            case Aarq():
                talk.client_title = content.calling_ap_title or talk.client_title
                self._user_information(content.user_information)
            case Aare():
                talk.server_title = content.responding_ap_title or talk.server_title
                self._user_information(content.user_information)
            case Rlrq() | Rlre():
                self._user_information(content.user_information)
            case InitiateRequest():
                if content.dedicated_key:
                    talk.dedicated_keys = self._ring.dedicated(content.dedicated_key)
            case DataNotification():
                self._push(content.body, content.date_time)
            case EventNotification():
                self._event(content)
            case GeneralBlockTransfer():
                self._general_block(content)
            case _:
                self._exchange(content)

    def _exchange(self, content: Content) -> None:
        talk = self._talk
        match content:
            case GetRequestNormal():
                access = AttributeAccess(content.attribute, content.selection)
                talk.ask(content.invoke_id, (access,))
            case GetRequestWithList():
                talk.ask(content.invoke_id, content.accesses)
            case GetResponseNormal():
                talk.answer(content.invoke_id, (content.result,))
            case GetResponseWithList():
                talk.answer(content.invoke_id, content.results)
            case GetResponseWithDatablock():
                self._block(content)
            case AccessRequest():
                talk.ask_access(content)
            case AccessResponse():
                talk.answer_access(content)
            case _:
                pass

    def _user_information(self, octets: bytes | None) -> None:
        """The initiate inside an AARQ, AARE, RLRQ or RLRE, often ciphered."""
        if octets:
            self._apdu(octets)

    def _event(self, event: EventNotification) -> None:
        known = len(self._talk.readings)
        self._talk.learn(AttributeAccess(event.attribute), event.value)
        moment = None if event.time is None else CosemDateTime.from_octets(event.time)
        for index in range(known, len(self._talk.readings)):
            reading = self._talk.readings[index]
            self._talk.readings[index] = attrs.evolve(reading, captured_at=moment)

    def _push(self, body: Data, date_time: bytes | None, cut: Fragment | None = None) -> None:
        moment = None if date_time is None else CosemDateTime.from_octets(date_time)
        promised = cut.promised_elements[0] if cut and cut.promised_elements else None
        push = read_push(body, moment, self._layouts, count=promised)
        for value in push.values:
            self._talk.readings.append(
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

    def _block(self, block: GetResponseWithDatablock) -> None:
        if block.result is not DataAccessResult.SUCCESS:
            return
        joined = self._talk.block(
            block.invoke_id, block.block_number, block.raw_data, last=block.last_block
        )
        if not joined:
            return
        if self._talk.asked_several(block.invoke_id):
            results = decode_data_results(joined)
            whole: Content = GetResponseWithList(
                results, invoke_id_and_priority=block.invoke_id_and_priority
            )
        else:
            results = (GetDataResult(octets=joined),)
            whole = decode_all(joined)
        self._apdus.append(TranslatedApdu(whole, len(joined), plain=joined))
        self._talk.answer(block.invoke_id, results)

    def _general_block(self, block: GeneralBlockTransfer) -> None:
        if not block.block_data:
            return  # acknowledges
        joined = self._talk.general_blocks(self._source).take(block)
        if joined:
            self._apdu(joined)
