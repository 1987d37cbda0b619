"""The collector as a whole, with real threads and real sockets."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import attrs
import pytest
import trio
from prometheus_client import CollectorRegistry, generate_latest

import hes_simulators as sim
from hes_collectors.dlms import (
    CollectorMetrics,
    CollectorSettings,
    Context,
    WorkerThreads,
    make_context,
    run,
)
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.pushes import ciphered, wrapped
from tests.unit.hes_collectors.simulated import SimulatedMeter
from tests.unit.hes_collectors.support import METER_ID, SECRETS, meter, settings


def utc_now() -> datetime:
    return datetime.now(UTC)


def real_context(storage: FakeStorage, chosen: CollectorSettings) -> Context:
    return make_context(chosen, storage.ports(), CollectorMetrics(CollectorRegistry()))


async def test_it_reads_over_a_socket_and_listens_on_another() -> None:
    storage = FakeStorage(utc_now)
    meter = SimulatedMeter.of(0, sim.Security.GMAC)
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, meter.serve, [listener])
        host, port = listener.socket.getsockname()
        known = meter.inventory()
        storage.add_meter(attrs.evolve(known, address=host, port=port), meter.secrets())
        surroundings = real_context(
            storage, settings(listen_port=0, first_read_days=30, poll_interval_s=0.05)
        )
        [(_, inbound_port)] = await nursery.start(run, surroundings)
        with trio.fail_after(20):
            while not storage.reports:  # noqa: ASYNC110 - the port is synchronous
                await trio.sleep(0.01)
        async with await trio.open_tcp_stream("127.0.0.1", inbound_port) as stream:
            secrets = meter.secrets()
            assert secrets.ek is not None
            assert secrets.ak is not None
            push = ciphered(
                2**31, ek=secrets.ek, ak=secrets.ak, title=meter.meter.identity.system_title
            )
            await stream.send_all(wrapped(push))
            await stream.send_eof()
            with trio.fail_after(20):
                assert await stream.receive_some() == b""
        nursery.cancel_scope.cancel()
    [outbound, inbound] = storage.reports
    assert (outbound.inbound, outbound.cause) == (False, None)
    assert inbound.inbound
    assert {key.source is None for key, _ in storage.values} == {True, False}
    assert storage.accepted[METER_ID] == 2**31


async def test_it_does_not_start_on_an_address_that_is_taken() -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    surroundings = real_context(FakeStorage(utc_now), settings(listen_port=port))
    async with listener:
        with pytest.RaisesGroup(OSError, flatten_subgroups=True):
            await run(surroundings)


async def test_worker_threads_are_bounded_and_do_not_hold_up_the_loop() -> None:
    threads = WorkerThreads(2)
    running, most, lock = 0, 0, threading.Lock()

    def work(pause_s: float) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(pause_s)
        with lock:
            running -= 1

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(threads.run, work, 0.01)
    assert most == 2


async def test_cancellation_waits_for_what_a_thread_has_begun() -> None:
    threads, done = WorkerThreads(1), []

    def work() -> None:
        time.sleep(0.05)
        done.append(True)

    with trio.move_on_after(0.001):
        await threads.run(work)
    assert done == [True]


async def test_last_words_are_left_to_themselves() -> None:
    threads, go_on = WorkerThreads(1), threading.Event()
    with trio.move_on_after(0.01) as scope:
        await threads.run_or_leave(go_on.wait)
    assert scope.cancelled_caught
    go_on.set()


def test_two_collectors_in_one_process_count_for_themselves() -> None:
    one, two = CollectorRegistry(), CollectorRegistry()
    CollectorMetrics(one).sessions.labels("ok", "done").inc()
    CollectorMetrics(two)
    assert b'hes_dlms_sessions_total{outcome="ok",phase="done"} 1.0' in generate_latest(one)
    assert b"} 1.0" not in generate_latest(two)


def test_secrets_do_not_show_in_what_is_printed() -> None:
    storage = FakeStorage(utc_now)
    storage.add_meter(meter(), SECRETS)
    assert SECRETS.ek is not None
    shown = repr(real_context(storage, settings()).ports.keys.secrets(METER_ID, 1))
    assert SECRETS.ek.hex() not in shown
    assert repr(SECRETS.ek) not in shown
