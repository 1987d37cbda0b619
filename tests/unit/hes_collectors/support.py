"""What the collector's tests stand on: surroundings without threads, network or real time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from random import Random
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import attrs
import trio
from prometheus_client import CollectorRegistry

from hes.domain.meters import Association, Mechanism, Meter, Policy, Secrets, Transport
from hes_collectors.dlms import CollectorMetrics, CollectorSettings, Context, StorageGate
from tests.unit.hes_collectors.fakes import FakeStorage

P = ParamSpec("P")
T = TypeVar("T")

START = datetime(2026, 11, 21, 10, 7, tzinfo=UTC)
EK = bytes(range(16))
AK = bytes(range(16, 32))
OUR_TITLE = b"HEH\0\0\0\0\1"
METER_ID = UUID(int=1)


def wall_clock() -> datetime:
    """Wall time that runs with trio's (mocked) clock; outside a loop it stands still."""
    try:
        return START + timedelta(seconds=trio.current_time())
    except RuntimeError:
        return START


class InlineThreads:
    """
    Port calls in the loop itself.

    A mocked clock jumps while real threads work, so simulated time and threads do not mix.
    """

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        await trio.lowlevel.checkpoint()
        return call(*args, **kwargs)

    async def run_or_leave(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.run(call, *args, **kwargs)


async def nowhere(host: str, port: int, settings: CollectorSettings) -> trio.abc.Stream:
    """A connector for tests that connect to nobody."""
    raise ConnectionRefusedError


def settings(**changes: Any) -> CollectorSettings:
    """Settings as of the demo."""
    return attrs.evolve(
        CollectorSettings(
            holder="test",
            system_title=OUR_TITLE,
            allowed_networks=(ip_network("127.0.0.0/8"),),
            first_read_days=1,
        ),
        **changes,
    )


def context(
    storage: FakeStorage,
    connect: Callable[[str, int, CollectorSettings], Awaitable[trio.abc.Stream]] = nowhere,
    **changes: Any,
) -> Context:
    """Surroundings on fakes; `changes` are changes of the settings."""
    metrics = CollectorMetrics(CollectorRegistry())
    threads = InlineThreads()
    random = Random(7)
    return Context(
        settings=settings(**changes),
        ports=storage.ports(),
        metrics=metrics,
        gate=StorageGate(metrics.storage_pauses.inc),
        outbound_threads=threads,
        inbound_threads=threads,
        now=wall_clock,
        random=random,
        challenge=lambda: random.randbytes(16),
        connect=connect,
    )


def meter(**changes: Any) -> Meter:
    """A meter with HLS-GMAC; `changes` to any field, those of the association by its name."""
    made = Meter(
        meter_id=METER_ID,
        serial="HES00000001",
        timezone="Europe/Berlin",
        transport=Transport.WRAPPER,
        association=Association(
            mechanism=Mechanism.HLS_GMAC, policy=Policy.AUTHENTICATED_ENCRYPTED
        ),
        commissioned_at=START - timedelta(days=30),
        system_title=b"HES\0\0\0\0\1",
        address="127.16.0.1",
        port=4159,
    )
    association = {name: changes.pop(name) for name in ("mechanism", "policy") if name in changes}
    return attrs.evolve(made, association=attrs.evolve(made.association, **association), **changes)


SECRETS = Secrets(ek=EK, ak=AK, key_fingerprint=b"its key")
