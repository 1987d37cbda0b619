"""
Frames out of the quarantine: taken in as pushes are, by the inventory and the keys of today.

What the intake would do beside handing a batch over does not happen: nothing goes to quarantine
again, and a frame that we ourselves have kept is no attack. Its tag is verified all the same. Its
counter moves the meter's forward if it is higher; that it is known, or too old, does not matter:
the frame is found again by its batch key, so what was stored of it is not stored twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs

from hes.domain.errors import CounterReplayedError
from hes.domain.meters import Meter
from hes.domain.ports import BatchSink, CounterPort, InboundPort, KeptFrame, Sender, SessionPort
from hes_collectors.dlms.context import Ports
from hes_collectors.dlms.framing import Message, framer_for
from hes_collectors.dlms.intake import Arrival, Intake, PushOutcome
from hes_collectors.dlms.settings import InboundLimits
from hes_protocol.errors import FramingError, LimitError, RemoteProtocolError
from hes_protocol.models import Model, PushLayout


@attrs.frozen
class FrameReplays:
    """
    `FrameReader`.

    `ports` makes those of a sink; `layouts` and `models`: as for pushes that come in.
    """

    ports: Callable[[BatchSink], Ports]
    layouts: tuple[PushLayout, ...]
    models: Mapping[str, Model]
    limits: InboundLimits = attrs.field(factory=InboundLimits)

    def read(self, frame: KeptFrame, sink: BatchSink, *, dry_run: bool) -> str | None:
        """
        Hand what a frame says to `sink`; returns why it is no reading.

        Raises: StorageUnavailableError: try again later.
        """
        ports = self.ports(sink)
        ports = attrs.evolve(
            ports,
            inbound=_Inbound(ports.inbound),
            sessions=_Sessions(ports.sessions),
            counters=_Counters(ports.counters, dry_run),
        )
        try:
            message = _message(frame.raw, self.limits)
            arrival = Arrival(frame.peer, message, frame.received_at, frame.batch_key)
            result = Intake(
                ports, arrival, self.layouts, self.models, batch_key=frame.batch_key
            ).run()
        except RemoteProtocolError as error:
            return f"undecodable: {error.code}"
        if result.outcome is PushOutcome.STORED:
            return None
        return result.cause or result.outcome.value


def _message(raw: bytes, limits: InboundLimits) -> Message:
    """The message that these octets carry; without any framing of ours they are the APDU."""
    with suppress(FramingError, LimitError):
        framer = framer_for(raw[0], limits)
        framer.receive_data(raw)
        message = framer.next_message()
        if message is not None:
            return attrs.evolve(message, frames=raw)
    return Message(raw, raw)


@attrs.frozen
class _Inbound:
    """`InboundPort` that keeps nothing: it is in quarantine already."""

    inner: InboundPort

    def by_system_title(self, system_title: bytes) -> Meter | None:
        return self.inner.by_system_title(system_title)

    def by_sender(self, sender: Sender) -> Meter | None:
        return self.inner.by_sender(sender)

    def rest(self, meter_id: UUID, for_s: float) -> None:
        pass  # it has power again, or not, whatever it said then

    def quarantine(
        self,
        sender: Sender,
        reason: str,
        raw: bytes,
        *,
        meter_id: UUID | None,
        received_at: datetime,
        verified: bool = False,
    ) -> None:
        pass


@attrs.frozen
class _Sessions:
    """`SessionPort` without security events: the operator's wish is none."""

    inner: SessionPort

    def record(self, report: Any) -> None:
        self.inner.record(report)

    def security_event(
        self, meter_id: UUID | None, code: str, detail: str, peer: str | None
    ) -> None:
        pass


class _Counters:
    """`CounterPort` that takes counters again, and none in a dry run."""

    def __init__(self, inner: CounterPort, dry_run: bool) -> None:
        self._inner = inner
        self._dry_run = dry_run
        self.counting = inner.counting
        self.reserve = inner.reserve
        self.keep = inner.keep
        self.highest_reserved = inner.highest_reserved
        self.last_accepted = inner.last_accepted

    def accept(
        self,
        meter_id: UUID,
        client_sap: int,
        counter: int,
        *,
        key_fingerprint: bytes | None = None,
    ) -> None:
        if not self._dry_run:
            with suppress(CounterReplayedError):
                self._inner.accept(meter_id, client_sap, counter, key_fingerprint=key_fingerprint)
