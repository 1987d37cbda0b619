"""The DLMS collector as a whole: outbound sessions and inbound pushes in one trio loop."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from random import SystemRandom
from typing import Final

import structlog
import trio

from hes_collectors.dlms.context import Context, Ports, WorkerThreads
from hes_collectors.dlms.datagrams import run_datagrams
from hes_collectors.dlms.dialled import Dialled
from hes_collectors.dlms.gate import StorageGate
from hes_collectors.dlms.inbound import run_inbound
from hes_collectors.dlms.metrics import CollectorMetrics
from hes_collectors.dlms.outbound import run_outbound
from hes_collectors.dlms.settings import CollectorSettings
from hes_collectors.dlms.settler import settling
from hes_protocol.models import Model, PushLayout

_log = structlog.get_logger(__name__)

_CHALLENGE_OCTETS: Final = 16


def make_context(
    settings: CollectorSettings,
    ports: Ports,
    metrics: CollectorMetrics,
    *,
    push_layouts: tuple[PushLayout, ...] = (),
    models: Iterable[Model] = (),
) -> Context:
    """The real surroundings: worker threads, the machine's clock, its randomness, its network."""

    def shut() -> None:
        metrics.storage_pauses.inc()
        _log.warning("storage_lost", consequence="no meter is asked, nothing is acknowledged")

    return Context(
        settings=settings,
        ports=ports,
        metrics=metrics,
        gate=StorageGate(shut, lambda: _log.info("storage_returned")),
        outbound_threads=WorkerThreads(settings.worker_threads),
        inbound_threads=WorkerThreads(settings.worker_threads),
        now=lambda: datetime.now(UTC),
        random=SystemRandom(),
        # One in a million would read as an APDU, which a meter may refuse to sign; none with 0.
        challenge=lambda: b"\0" + secrets.token_bytes(_CHALLENGE_OCTETS - 1),
        push_layouts=push_layouts,
        models={model.name: model for model in models},
    )


async def run(
    context: Context,
    *,
    task_status: trio.TaskStatus[Sequence[tuple[str, int]]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """
    Collect until cancelled.

    On cancellation the listener closes first; each session releases its meter and gives its lease
    back, within `release_s` and `shutdown_s` of the settings and the two seconds of DISC.

    Args: context: see `make_context`. task_status: is told the addresses that are listened on.
    Raises: OSError: the listening address cannot be bound.
    """
    async with settling(context) as settler, trio.open_nursery() as nursery:
        dialled = Dialled(context, settler)
        nursery.start_soon(dialled.run)
        listening = await nursery.start(run_inbound, context, dialled)
        if context.settings.listen_udp:
            host, port = await nursery.start(run_datagrams, context)
            _log.info("datagrams_listening", host=host, port=port)
        nursery.start_soon(run_outbound, context, settler)
        task_status.started(listening)
