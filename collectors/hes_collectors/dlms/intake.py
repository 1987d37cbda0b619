"""
One push on its way in: who sent it, whether it may be believed, and into storage or quarantine.

Rule 1: tag, then counter, then state: nothing is decoded, stored or moved before the tag of a
ciphered push is verified and its counter accepted. A counter that was accepted before is a replay,
unless what it vouched for is not stored: then the attempt that accepted it died before its COMMIT,
and the repeat takes its place. Rule 2: a frame is believed no more than the
meter's policy says; what the policy forbids is a security event and no reading. Rule 3: what is
no reading yet goes to quarantine with its octets. Rule 4: `run` may be called again after
`StorageUnavailableError` and goes on where it stopped.

Synchronous: runs in a worker thread. Does not own frames, connections or retries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType
from typing import Final
from uuid import UUID, uuid4, uuid5

import attrs

from hes.domain.errors import (
    CounterReplayedError,
    KeyUnavailableError,
    PermanentError,
    QuarantineFullError,
    TemporaryError,
)
from hes.domain.meters import Meter, Policy, Secrets
from hes.domain.ports import Sender
from hes.domain.quality import Quality
from hes.domain.readings import Provenance, Receipt, SourceKind
from hes.ingest.push import push_batch, unnamed
from hes_collectors.dlms.context import Ports
from hes_collectors.dlms.framing import Message
from hes_collectors.dlms.outcomes import log_crash
from hes_protocol.axdr.data import DataTag
from hes_protocol.cosem import CosemDateTime, Obis
from hes_protocol.errors import (
    EncodingError,
    LocalProtocolError,
    RemoteProtocolError,
    SecurityError,
)
from hes_protocol.models import Model, PushLayout
from hes_protocol.push import Push, PushValue, plain_text, read_event, read_push
from hes_protocol.security import Protection
from hes_protocol.security.suite0 import (
    SYSTEM_TITLE_OCTETS,
    SuiteKeys,
    Unprotected,
    decipher_unverified,
    unprotect,
)
from hes_protocol.xdlms import Ciphered, DataNotification, EventNotification, decode_apdu
from hes_protocol.xdlms.block_transfer import GENERAL_BLOCK_TRANSFER
from hes_protocol.xdlms.ciphered import GENERAL_GLO, GLO_TAGS
from hes_protocol.xdlms.notification import EVENT_NOTIFICATION

_CLASS_CLOCK: Final = 8
_DARK_S: Final = 600.0
# general-ciphering, general-signing, general-block-transfer that came in pieces of sessions: meters
# push so, we cannot read it yet.
_LATER: Final = frozenset({0xDD, 0xDF, GENERAL_BLOCK_TRANSFER})


class PushOutcome(StrEnum):
    """What became of a push."""

    STORED = "stored"
    EMPTY = "empty"
    QUARANTINED = "quarantined"
    REFUSED = "refused"
    SECURITY = "security"


@attrs.frozen
class PushResult:
    """
    What became of a push, and why.

    `cause` is the reason of quarantine or the code of the security event; `REFUSED` means that
    the quarantine is full. `believed` tells that the push has proved to be the meter's as far as
    the meter's policy asks for proof; without that, `meter_id` is only who it says it is.
    `verified`: it carries the meter's tag and a counter that was not seen before.
    """

    outcome: PushOutcome
    meter_id: UUID | None = None
    cause: str | None = None
    receipt: Receipt | None = None
    unnamed: int = 0
    believed: bool = False
    verified: bool = False
    meter: Meter | None = None


@attrs.frozen
class Arrival:
    """A message, where it came from and when; `connection_id` is of our own making."""

    peer: IPv4Address | IPv6Address
    message: Message
    received_at: datetime
    connection_id: UUID


def session_id(connection_id: UUID, meter_id: UUID) -> UUID:
    """The session of one meter on one connection: several meters may share a gateway's."""
    return uuid5(connection_id, meter_id.hex)


class Intake:
    """
    One push.

    Args: ports: storage. arrival: the push. layouts: known of pushes that name nothing.
        models: known of meters by their model's name, their own layouts go first.
        batch_key: of a plain push, which has none of its own; None: a fresh one.
    """

    def __init__(
        self,
        ports: Ports,
        arrival: Arrival,
        layouts: tuple[PushLayout, ...],
        models: Mapping[str, Model] = MappingProxyType({}),
        *,
        batch_key: UUID | None = None,
    ) -> None:
        self._ports = ports
        self._arrival = arrival
        self._layouts = layouts
        self._models = models
        self._batch_key = batch_key or uuid4()
        self._in_doubt = False
        self._accepted = False
        self._key_fingerprint: bytes | None = None
        self._repeated: int | None = None
        self._believed = False
        self._verified = False
        self._meter: Meter | None = None

    def run(self) -> PushResult:
        """
        Take the push in.

        Raises: RemoteProtocolError: it is no push at all. StorageUnavailableError: call again
            once storage is back.
        """
        result = self._run()
        fresh = self._verified and self._repeated is None and result.believed
        return attrs.evolve(result, verified=fresh, meter=self._meter)

    def _run(self) -> PushResult:
        octets = self._arrival.message.apdu
        if octets and octets[0] in _LATER:
            return self._quarantine(self._by_line(), Sender(self._arrival.peer), "unsupported-apdu")
        apdu = decode_apdu(octets)
        if isinstance(apdu, (DataNotification, EventNotification)):
            return self._take_plain(apdu)
        if isinstance(apdu, Ciphered) and apdu.tag == GENERAL_GLO:
            title = apdu.system_title or b""
            if len(title) != SYSTEM_TITLE_OCTETS:
                raise EncodingError("bad-system-title", f"{len(title)} octets", offset=1)
            return self._take_ciphered(apdu, title, self._ports.inbound.by_system_title(title))
        if isinstance(apdu, Ciphered) and apdu.tag == GLO_TAGS[EVENT_NOTIFICATION]:
            # It names nobody: the line does, or nobody can open it.
            meter = self._by_line()
            if meter is not None and meter.system_title is not None:
                return self._take_ciphered(apdu, meter.system_title, meter)
        if isinstance(apdu, Ciphered):
            return self._quarantine(self._by_line(), Sender(self._arrival.peer), "unsupported-apdu")
        raise EncodingError("unexpected-apdu", "no push", offset=0, apdu_tag=octets[0])

    def _by_line(self) -> Meter | None:
        return self._ports.inbound.by_sender(Sender(self._arrival.peer))

    # --- plain ------------------------------------------------------------------------------

    def _take_plain(self, notification: DataNotification | EventNotification) -> PushResult:
        push = self._read(notification)
        sender = Sender(self._arrival.peer, None, push.identities)
        meter = self._ports.inbound.by_sender(sender)
        if meter is None:
            return self._quarantine(None, sender, "unknown-meter")
        self._meter = meter
        if meter.association.policy is not Policy.PLAIN:
            return self._security(meter, "policy-violated", "plain push under a stricter policy")
        self._believed = True
        push = self._read(notification, meter)
        return self._publish(meter, sender, push, Quality.UNAUTHENTICATED)

    # --- ciphered ---------------------------------------------------------------------------

    def _take_ciphered(self, apdu: Ciphered, title: bytes, meter: Meter | None) -> PushResult:
        sender = Sender(self._arrival.peer, title)
        if meter is None:
            return self._quarantine(None, sender, "unknown-meter")
        self._meter = meter
        policy = meter.association.policy
        protection = apdu.control.protection
        if not protection.covers(Protection(policy)):
            return self._security(
                meter, "policy-violated", f"protection 0x{protection:02x} under 0x{policy:02x}"
            )
        self._batch_key = frame_key(meter.meter_id, title, apdu.content)
        try:
            opened = self._open(apdu, title, meter)
            if opened.authenticated:
                self._accept(meter, opened.invocation_counter)
                self._believed = self._verified = True
        except SecurityError as error:
            if error.code == "suite-unsupported":
                return self._quarantine(meter, sender, error.code)
            return self._security(meter, error.code, error.detail)
        except KeyUnavailableError:
            # Kept: once the key is there, the frame can be read.
            self._security(meter, "key-unavailable", "")
            return self._quarantine(meter, sender, "key-unavailable")
        except CounterReplayedError:
            return self._replayed(meter, apdu.invocation_counter)
        return self._take_opened(meter, sender, opened)

    def _open(self, apdu: Ciphered, title: bytes, meter: Meter) -> Unprotected:
        """
        Decipher, and verify unless the policy lets the tag go.

        A meter whose policy wants no tag may send one all the same, and its authentication key
        may be nobody's but the maker's: its pushes are then as good as enciphered only.
        Raises: SecurityError, KeyUnavailableError, TruncatedError.
        """
        secrets = self._ports.keys.secrets(meter.meter_id, meter.association.client_sap)
        self._key_fingerprint = secrets.key_fingerprint
        keys = _suite_keys(secrets)
        wants_tag = bool(meter.association.policy & Policy.AUTHENTICATED)
        if not keys.can_authenticate and not wants_tag:
            return decipher_unverified(keys, title, apdu.content)
        return unprotect(keys, title, apdu.content)

    def _accept(self, meter: Meter, counter: int) -> None:
        """
        Accept the meter's counter, once for this push.

        Raises: CounterReplayedError, StorageUnavailableError; KeyUnavailableError: the key was
            changed since it verified this push.
        """
        if self._accepted:
            return
        try:
            self._ports.counters.accept(
                meter.meter_id,
                meter.association.client_sap,
                counter,
                key_fingerprint=self._key_fingerprint,
            )
        except TemporaryError:
            # Storage may have kept it before it went away.
            self._in_doubt = True
            raise
        except CounterReplayedError as error:
            if not error.seen or self._ports.sink.stored(self._batch_key):
                raise
            if not self._in_doubt:
                self._repeated = counter
        self._accepted = True

    def _take_opened(self, meter: Meter, sender: Sender, opened: Unprotected) -> PushResult:
        try:
            apdu = decode_apdu(opened.plaintext)
        except RemoteProtocolError as error:
            if opened.authenticated:
                return self._quarantine(meter, sender, f"undecodable: {error.code}")
            # Without a tag nothing else tells that the key is wrong.
            return self._security(meter, "undecipherable", error.code)
        if not isinstance(apdu, (DataNotification, EventNotification)):
            return self._quarantine(meter, sender, "unsupported-apdu")
        self._believed = True
        push = self._read(apdu, meter)
        quality = 0 if opened.authenticated else Quality.UNAUTHENTICATED
        return self._publish(meter, sender, push, quality)

    # --- both -------------------------------------------------------------------------------

    def _read(
        self, notification: DataNotification | EventNotification, meter: Meter | None = None
    ) -> Push:
        if isinstance(notification, EventNotification):
            return read_event(notification)
        octets = notification.date_time
        date_time = None if octets is None else CosemDateTime.from_octets(octets)
        model = self._models.get((meter and meter.model) or "")
        own = model.push if model is not None else ()
        return read_push(notification.body, date_time, (*own, *self._layouts))

    def _publish(self, meter: Meter, sender: Sender, push: Push, quality: int) -> PushResult:
        result = self._publish_all(meter, sender, push, quality)
        model = self._models.get(meter.model or "")
        if model is not None and push.push_setup in model.last_gasps and result.believed:
            # Whoever asks it now waits for nothing.
            self._ports.inbound.rest(meter.meter_id, _DARK_S)
        return result

    def _publish_all(self, meter: Meter, sender: Sender, push: Push, quality: int) -> PushResult:
        nameless = unnamed(push)
        # A layout that tells by itself where it applies tells whose push it is.
        model = self._models.get(meter.model or "") or self._models.get(push.layout or "")
        batch = push_batch(
            push,
            meter,
            Provenance(
                kind=SourceKind.PUSH,
                received_at=self._arrival.received_at,
                session_id=session_id(self._arrival.connection_id, meter.meter_id),
                evidence=self._arrival.message.frames,
            ),
            self._batch_key,
            int(quality),
            standard_time=model is not None and model.quirks.standard_time,
        )
        if len(batch) == 0:
            named = frozenset(push.identities)
            if any(_is_value(value, named) for value in push.values):
                return self._quarantine(meter, sender, "unnamed-values")
            if self._repeated is not None:
                return self._replayed(meter, self._repeated)
            return PushResult(PushOutcome.EMPTY, meter.meter_id, believed=self._believed)
        try:
            receipt = self._ports.sink.publish(batch)
        except TemporaryError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the push must not be lost
            # The writer will never take it; without this the connection could not go on.
            if not isinstance(error, PermanentError):
                log_crash(error)
            return self._quarantine(meter, sender, f"unstorable: {type(error).__name__}")
        return PushResult(
            PushOutcome.STORED, meter.meter_id, None, receipt, nameless, believed=self._believed
        )

    def _quarantine(self, meter: Meter | None, sender: Sender, reason: str) -> PushResult:
        meter_id = None if meter is None else meter.meter_id
        if meter is not None and self._repeated is not None:
            # Only what was to be stored is taken again: frames that ended here before, or were
            # a session's, would fill the quarantine by being repeated.
            return self._replayed(meter, self._repeated)
        try:
            self._ports.inbound.quarantine(
                sender,
                reason,
                self._arrival.message.frames,
                meter_id=meter_id,
                received_at=self._arrival.received_at,
                verified=self._verified,
            )
        except QuarantineFullError:
            return PushResult(PushOutcome.REFUSED, meter_id, reason, believed=self._believed)
        return PushResult(PushOutcome.QUARANTINED, meter_id, reason, believed=self._believed)

    def _replayed(self, meter: Meter, counter: int) -> PushResult:
        self._believed = False  # it was the meter's once; who sends it now is anybody's guess
        return self._security(meter, "counter-replayed", f"invocation counter {counter}")

    def _security(self, meter: Meter, code: str, detail: str) -> PushResult:
        self._ports.sessions.security_event(meter.meter_id, code, detail, str(self._arrival.peer))
        return PushResult(PushOutcome.SECURITY, meter.meter_id, code)


def frame_key(meter_id: UUID, system_title: bytes, content: bytes) -> UUID:
    """
    The batch key of a ciphered push: the same whenever and however the frame comes again.

    Args: content: security control, counter, ciphertext and tag; all else can be rewritten.
    """
    return uuid5(meter_id, hashlib.sha256(system_title + content).hexdigest())


def _suite_keys(secrets: Secrets) -> SuiteKeys:
    if secrets.ek is None:
        raise KeyUnavailableError("no encryption key is kept")
    try:
        return SuiteKeys(secrets.ek, secrets.ak)
    except LocalProtocolError as error:
        raise KeyUnavailableError("the keys kept are none of suite 0") from error


def _is_value(value: PushValue, named: frozenset[tuple[Obis | None, str]]) -> bool:
    """Whether this says more than when and who."""
    if value.class_id == _CLASS_CLOCK or value.data.tag is DataTag.NULL_DATA:
        return False
    return (value.obis, plain_text(value.data)) not in named
