"""TLS on the inbound port: who does not speak it is not heard, and costs little."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair

from hes_collectors.dlms import InboundLimits, TlsFiles, TlsFilesError
from hes_collectors.dlms.inbound import InboundServer, run_inbound
from hes_collectors.dlms.tls import server_context
from hes_simulators.tls import CertificateFolder
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.pushes import ciphered, wrapped
from tests.unit.hes_collectors.support import SECRETS, context, meter, wall_clock

HOST = IPv4Address("127.0.0.1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> CertificateFolder:
    return CertificateFolder(tmp_path_factory.mktemp("tls"))


def files(folder: CertificateFolder, client_ca: Path | None = None) -> TlsFiles:
    certificate = folder.issue("head-end", (HOST,))
    return TlsFiles(certificate, folder.folder / "meter.key", client_ca)


def storage() -> FakeStorage:
    made = FakeStorage(wall_clock)
    made.add_meter(meter(), SECRETS)
    return made


@asynccontextmanager
async def listening(kept: FakeStorage, told: TlsFiles) -> AsyncIterator[int]:
    surroundings = context(kept, listen_port=0, tls=told)
    async with trio.open_nursery() as nursery:
        [(_, port)] = await nursery.start(run_inbound, surroundings)
        yield port
        nursery.cancel_scope.cancel()


async def push(port: int, client: ssl.SSLContext | None) -> None:
    """Connect, push, and wait until the other side has closed."""
    with trio.fail_after(10):
        plain = await trio.open_tcp_stream(str(HOST), port)
        if client is None:
            async with plain:
                await plain.send_all(wrapped(ciphered(1)))
                await plain.send_eof()
                assert await plain.receive_some() == b""
            return
        stream = trio.SSLStream(plain, client, server_hostname="x", https_compatible=True)
        async with stream:
            await stream.send_all(wrapped(ciphered(1)))


async def test_a_meter_pushes_by_tls_and_one_that_does_not_speak_it_is_refused(
    folder: CertificateFolder,
) -> None:
    kept = storage()
    async with listening(kept, files(folder)) as port:
        with suppress(trio.BrokenResourceError):
            await push(port, None)
        assert kept.calls == {}
        await push(port, folder.meter_context("HES00000001", HOST, server=False))
        with trio.fail_after(10):
            while not kept.receipts:  # noqa: ASYNC110 - a real socket
                await trio.sleep(0.01)


async def test_with_a_client_ca_only_its_meters_get_in(
    folder: CertificateFolder, tmp_path: Path
) -> None:
    kept = storage()
    strangers = CertificateFolder(tmp_path)
    async with listening(kept, files(folder, folder.authority)) as port:
        anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anybody.check_hostname = False
        anybody.verify_mode = ssl.CERT_NONE
        stranger = strangers.meter_context("STR00000001", HOST, server=False)
        stranger.verify_mode = ssl.CERT_NONE
        for client in (anybody, stranger):
            # By TLS 1.3 the refusal comes after the client's part of the handshake.
            with suppress(trio.BrokenResourceError):
                await push(port, client)
        await trio.sleep(0.05)
        assert kept.calls == {}
        await push(port, folder.meter_context("HES00000001", HOST, server=False))
        with trio.fail_after(10):
            while not kept.receipts:  # noqa: ASYNC110 - a real socket
                await trio.sleep(0.01)


async def test_handshakes_that_never_end_are_ended_and_wait_their_turn(
    folder: CertificateFolder, autojump_clock: MockClock
) -> None:
    limits = InboundLimits(max_handshakes=2, handshake_s=10)
    surroundings = context(storage(), tls=files(folder), inbound=limits)
    server = InboundServer(surroundings)
    ended: list[float] = []

    async def drip() -> None:
        ours, theirs = memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.serve, theirs, ip_address("192.0.2.7"))
            with suppress(trio.BrokenResourceError):
                while True:
                    await ours.send_all(b"\x16")
                    await trio.sleep(9)
        ended.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(drip)
    assert ended == [
        18,
        18,
        27,
        27,
    ]  # two at a time, of ten seconds each; noticed at the next octet
    connections = surroundings.metrics.inbound_connections
    assert connections.labels("no-tls")._value.get() == 4
    assert surroundings.metrics.inbound_connections_open._value.get() == 0


def test_files_that_are_none_are_named_and_not_shown(
    folder: CertificateFolder, tmp_path: Path
) -> None:
    good = files(folder)
    secret = tmp_path / "broken.key"
    secret.write_text("-----BEGIN PRIVATE KEY-----\nAAAASECRET\n-----END PRIVATE KEY-----\n")
    for told, named in (
        (TlsFiles(tmp_path / "missing.pem", good.key), "missing.pem"),
        (TlsFiles(good.certificate, secret), "broken.key"),
        (TlsFiles(good.certificate, good.key, tmp_path / "no-ca.pem"), "no-ca.pem"),
        (TlsFiles(good.certificate, good.key, secret), "broken.key"),
    ):
        with pytest.raises(TlsFilesError, match=named) as caught:
            server_context(told)
        assert "SECRET" not in str(caught.value)
