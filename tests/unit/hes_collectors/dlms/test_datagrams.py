"""Pushes by UDP: whole or not at all, bounded, and never answered."""

from __future__ import annotations

import socket
from typing import Any

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from hes_collectors.dlms import InboundLimits
from hes_collectors.dlms.datagrams import Datagrams, run_datagrams
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.pushes import ciphered, hdlc, wrapped
from tests.unit.hes_collectors.support import METER_ID, SECRETS, context, meter, wall_clock


class Setup:
    """What takes datagrams, on fakes."""

    def __init__(self, **limits: Any) -> None:
        self.storage = FakeStorage(wall_clock)
        self.storage.add_meter(meter(), SECRETS)
        self.context = context(
            self.storage, inbound=InboundLimits(**limits), listen_port=0, worker_threads=2
        )
        self.datagrams = Datagrams(self.context)

    def count(self, result: str) -> float:
        return float(self.context.metrics.inbound_datagrams.labels(result)._value.get())

    def frames(self, result: str) -> float:
        return float(self.context.metrics.inbound_frames.labels(result)._value.get())

    async def take(self, *datagrams: bytes, sender: str = "192.0.2.7") -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.datagrams.serve)
            for data in datagrams:
                self.datagrams.take(data, sender)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()


async def test_a_push_by_a_real_socket_is_stored_and_not_answered() -> None:
    setup = Setup()
    async with trio.open_nursery() as nursery:
        host, port = await nursery.start(run_datagrams, setup.context)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as meters:
            meters.sendto(wrapped(ciphered(1)), (host, port))
            with trio.fail_after(5):
                while not setup.storage.reports:  # noqa: ASYNC110 - the kernel tells it, not we
                    await trio.sleep(0.01)
            meters.settimeout(0.05)
            try:
                answer = meters.recv(100)
            except TimeoutError:
                answer = b""
            assert answer == b""
        nursery.cancel_scope.cancel()
    assert len(setup.storage.receipts) == 1
    [report] = setup.storage.reports
    assert (report.meter_id, report.octets_in) == (METER_ID, len(wrapped(ciphered(1))))


async def test_each_datagram_stands_for_itself() -> None:
    setup = Setup()
    whole = wrapped(ciphered(1))
    await setup.take(
        whole[:20],  # cut
        whole[20:],  # the rest: no frame
        b"",
        b"GET / HTTP/1.1",
        wrapped(ciphered(9, ak=bytes(16))),  # forged, with a high counter
        whole + wrapped(ciphered(2)),
        hdlc(ciphered(3)),
        whole,  # replayed
    )
    assert setup.frames("malformed") == 3
    assert setup.frames("stored") == 3
    assert [event.code for event in setup.storage.events] == ["tag-mismatch", "counter-replayed"]
    assert setup.storage.accepted == {METER_ID: 3}
    assert len(setup.storage.reports) == 2  # of two pushes in one datagram one


async def test_a_source_has_its_rate_and_the_others_theirs(autojump_clock: MockClock) -> None:
    setup = Setup(datagrams_per_s_per_source=2)
    await setup.take(*(wrapped(ciphered(n)) for n in range(1, 31)))
    assert (setup.count("held"), setup.count("dropped")) == (10, 20)
    await setup.take(wrapped(ciphered(40)), sender="192.0.2.8")
    assert setup.count("held") == 11


async def test_while_storage_is_away_so_many_are_held_and_no_more(
    autojump_clock: MockClock,
) -> None:
    setup = Setup(datagrams_per_s_per_source=1e6)
    setup.storage.away = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(setup.datagrams.serve)
        await wait_all_tasks_blocked()
        for counter in range(1, 1101):
            setup.datagrams.take(wrapped(ciphered(counter)), "192.0.2.7")
        await trio.sleep(60)
        assert setup.count("dropped") == 1100 - 1024 - 1  # one of them in hand
        setup.storage.away = False
        await trio.sleep(300)
        assert setup.frames("stored") == 1025
        nursery.cancel_scope.cancel()
