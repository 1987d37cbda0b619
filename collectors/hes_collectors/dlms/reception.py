"""
Taking a push in, whatever carried it: storage is waited for, what came of it counted and told.

Does not own frames, connections, nor what a push says (`intake`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

import structlog
import trio

from hes.domain.errors import StorageUnavailableError
from hes_collectors.dlms.context import Context
from hes_collectors.dlms.intake import Arrival, Intake, PushOutcome, PushResult

P = ParamSpec("P")
T = TypeVar("T")
_FIRST_RETRY_S: Final = 0.25
_MOST_DOUBLINGS: Final = 8
_log = structlog.get_logger(__name__)


class Reception:
    """Takes pushes in, each in a worker thread."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def take(self, arrival: Arrival) -> PushResult:
        """
        Take one message in, waiting for storage as long as that takes.

        Raises: RemoteProtocolError: it is no push.
        """
        context = self._context
        intake = Intake(context.ports, arrival, context.push_layouts, context.models)
        result = await patiently(context, intake.run)
        self._tell(result, arrival)
        return result

    def _tell(self, result: PushResult, arrival: Arrival) -> None:
        metrics = self._context.metrics
        metrics.inbound_frames.labels(result.outcome.value).inc()
        if result.receipt is not None:
            metrics.count_receipt("push", result.receipt)
        if result.outcome is PushOutcome.REFUSED:
            metrics.quarantine_refused.inc()
        if result.outcome is PushOutcome.SECURITY:
            metrics.security_events.labels(result.cause or "security").inc()
        tell = _log.debug if result.outcome is PushOutcome.STORED else _log.warning
        tell(
            "inbound_push_handled",
            peer=str(arrival.peer),
            outcome=result.outcome.value,
            cause=result.cause,
            meter_id=None if result.meter_id is None else str(result.meter_id),
            octets=len(arrival.message.frames),
            unnamed=result.unnamed,
        )


async def patiently(context: Context, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a port in a worker thread, again and again until storage answers."""
    gate, failures = context.gate, 0
    while True:
        try:
            result = await context.inbound_threads.run(call, *args, **kwargs)
        except StorageUnavailableError as error:
            gate.report(error)
            bound_s = _FIRST_RETRY_S * 2 ** min(failures, _MOST_DOUBLINGS)
            failures += 1
            await trio.sleep(_FIRST_RETRY_S * context.random.random())
            with trio.move_on_after(bound_s * context.random.uniform(0.5, 1.5)):
                await gate.wait_open()
        else:
            gate.open()
            return result
