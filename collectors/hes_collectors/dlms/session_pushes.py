"""
The pushes that a meter sends over our own connection, between its answers.

Rule 1: they go the way of those that meters send to the listener (`intake`), as the octets that
arrived; all that is different is that the connection tells whose they are. Rule 2: none is lost:
one that storage does not take stays here until `store` is called again, one that cannot be stored
goes to quarantine. Rule 3: a meter whose system title nobody knows is not believed
until the association has shown who speaks.

`store` is synchronous and runs in a worker thread; nothing else may be called meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from uuid import UUID

import attrs
import structlog

from hes.domain.errors import QuarantineFullError, TemporaryError
from hes.domain.meters import Meter, Policy
from hes.domain.ports import BatchSink, InboundPort, Sender
from hes.domain.readings import ReadingBatch, Receipt
from hes_collectors.dlms.context import Context
from hes_collectors.dlms.framing import Message
from hes_collectors.dlms.intake import Arrival, Intake, PushOutcome, PushResult
from hes_collectors.dlms.outcomes import log_crash
from hes_protocol.errors import LimitError, RemoteProtocolError

_MOST_WAITING: Final = 32
_log = structlog.get_logger(__name__)


@attrs.frozen
class _WhoseConnection:
    """`InboundPort` of a connection of which we know whose it is."""

    inner: InboundPort
    meter: Meter

    def by_system_title(self, system_title: bytes) -> Meter | None:
        """This meter; the client has seen that the title is the one it associated with."""
        return self.meter if self.meter.system_title in (None, system_title) else None

    def by_sender(self, sender: Sender) -> Meter | None:  # noqa: ARG002 - the port's
        """This meter: there is nobody else on the line."""
        return self.meter

    def rest(self, meter_id: UUID, for_s: float) -> None:
        """As the port behind it."""
        self.inner.rest(meter_id, for_s)

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
        """As the port behind it."""
        self.inner.quarantine(
            sender, reason, raw, meter_id=meter_id, received_at=received_at, verified=verified
        )


@attrs.frozen
class _SessionSink:
    """`BatchSink` that names the session in what passes."""

    inner: BatchSink
    session_id: UUID

    def publish(self, batch: ReadingBatch) -> Receipt:
        """As the sink behind it."""
        provenance = attrs.evolve(batch.provenance, session_id=self.session_id)
        return self.inner.publish(attrs.evolve(batch, provenance=provenance))

    def stored(self, batch_key: UUID) -> bool:
        """As the sink behind it."""
        return self.inner.stored(batch_key)


class SessionPushes:
    """
    What one session has heard and storage has not taken yet.

    Args: context: ports, metrics and what is known of layouts. meter: whose session it is.

    `all_kept` tells whether all that was handed over is stored, or in quarantine at least.
    """

    def __init__(self, context: Context, meter: Meter, session_id: UUID) -> None:
        self._meter = meter
        self._session_id = session_id
        self._layouts = context.push_layouts
        self._models = context.models
        self._metrics = context.metrics
        self._now: Callable[[], datetime] = context.now
        self._inbound = context.ports.inbound
        self._ports = attrs.evolve(
            context.ports,
            inbound=_WhoseConnection(context.ports.inbound, meter),
            sink=_SessionSink(context.ports.sink, session_id),
        )
        self._peer: IPv4Address | IPv6Address = IPv4Address(0)
        self._waiting: deque[tuple[Arrival, Intake]] = deque()
        self.all_kept = True
        known = meter.system_title is not None or meter.association.policy is Policy.PLAIN
        self._doubt = None if known else "no-association"

    def __len__(self) -> int:
        return len(self._waiting)

    def connected(self, peer: IPv4Address | IPv6Address) -> None:
        """Say who is at the other end."""
        self._peer = peer

    def believe(self) -> None:
        """The association has shown that it is the meter that speaks."""
        self._doubt = None

    def doubt(self, reason: str) -> None:
        """It is not this meter: what it says goes to quarantine for this reason."""
        self._doubt = reason

    def keep(self, apdu: bytes, frame: bytes) -> None:
        """
        Take a push that arrived.

        Raises: LimitError: too many wait to be stored; those are kept.
        """
        if len(self._waiting) >= _MOST_WAITING:
            raise LimitError("too-many-notifications", f"more than {_MOST_WAITING} pushes")
        arrival = Arrival(self._peer, Message(apdu, frame), self._now(), self._session_id)
        self._waiting.append((arrival, Intake(self._ports, arrival, self._layouts, self._models)))

    def store(self) -> None:
        """
        Hand over all that waits, in the order in which it came.

        Raises: StorageUnavailableError, or another TemporaryError: the rest waits; call again.
        """
        while self._waiting:
            arrival, intake = self._waiting[0]
            result = self._take(arrival, intake)
            self._waiting.popleft()
            self._tell(arrival, result)

    def _take(self, arrival: Arrival, intake: Intake) -> PushResult:
        if self._doubt is not None:
            return self._quarantine(arrival, None, self._doubt)
        meter_id = self._meter.meter_id
        try:
            return intake.run()
        except TemporaryError:
            raise
        except RemoteProtocolError as error:
            return self._quarantine(arrival, meter_id, f"undecodable: {error.code}")
        except Exception as error:  # noqa: BLE001 - our bug must not cost what the meter said
            log_crash(error)
            return self._quarantine(arrival, meter_id, "internal-error")

    def _quarantine(self, arrival: Arrival, meter_id: UUID | None, reason: str) -> PushResult:
        try:
            self._inbound.quarantine(
                Sender(arrival.peer),
                reason,
                arrival.message.frames,
                meter_id=meter_id,
                received_at=arrival.received_at,
                verified=False,
            )
        except QuarantineFullError:
            return PushResult(PushOutcome.REFUSED, meter_id, reason)
        return PushResult(PushOutcome.QUARANTINED, meter_id, reason)

    def _tell(self, arrival: Arrival, result: PushResult) -> None:
        metrics = self._metrics
        if result.receipt is not None:
            metrics.count_receipt("push", result.receipt)
        if result.outcome is PushOutcome.REFUSED:
            metrics.quarantine_refused.inc()
            self.all_kept = False
        if result.outcome is PushOutcome.SECURITY:
            metrics.security_events.labels(result.cause or "security").inc()
        tell = _log.debug if result.outcome is PushOutcome.STORED else _log.warning
        tell(
            "session_push_handled",
            outcome=result.outcome.value,
            cause=result.cause,
            octets=len(arrival.message.frames),
            unnamed=result.unnamed,
        )
