"""
A foreign client reads our meters: dlms-cosem 25.1.0 (dependency group `peers`) over TCP.

What it does differently is named here, so that nobody mends the meters for it. It has no HLS with
MD5, SHA-1 or SHA-256.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio
from dlms_cosem import cosem, enumerations, utils
from dlms_cosem.client import DlmsClient, HLSError
from dlms_cosem.cosem.capture_object import CaptureObject
from dlms_cosem.cosem.selective_access import RangeDescriptor
from dlms_cosem.io import BlockingTcpIO, HdlcTransport, TcpTransport
from dlms_cosem.security import (
    HighLevelSecurityGmacAuthentication,
    LowLevelSecurityAuthentication,
    NoSecurityAuthentication,
)

from hes_protocol.cosem import CosemDateTime
from hes_simulators import Fleet, FleetSettings, Security, rows

NOW = datetime(2026, 11, 21, 9, 20, tzinfo=UTC)


class Gmac(HighLevelSecurityGmacAuthentication):
    """The peer's own uses one counter twice, see `test_a_counter_used_twice_is_refused`."""

    def hls_generate_reply_data(self, connection: Any) -> bytes:
        proof: bytes = super().hls_generate_reply_data(connection)
        connection.client_invocation_counter += 1
        return proof


class Io(BlockingTcpIO):
    """The peer's own reads for ever from a connection that is closed."""

    def recv(self, amount: int = 1) -> bytes:
        data = b""
        while len(data) < amount:
            more = self.tcp_socket.recv(amount - len(data))
            if not more:
                raise ConnectionError("the meter closed the connection")
            data += more
        return data


class Hdlc(HdlcTransport):
    """The peer's own waits for ever where a frame's check sequence ends in the flag's octet."""

    waiting = b""

    def recv_frame(self) -> bytes:
        begin = 0
        if not self.waiting:
            head = self.io.recv(3)
            length = (head[1] & 7) << 8 | head[2]
            self.waiting, begin = head + self.io.recv(length - 1), 1
        piece, flag, self.waiting = self.waiting[begin:].partition(b"~")
        return b"~" * begin + piece + flag


@contextmanager
def session(
    record: Mapping[str, Any], pdu: int, gmac: type[HighLevelSecurityGmacAuthentication] = Gmac
) -> Iterator[DlmsClient]:
    """An association of dlms-cosem with the meter of a `--keys-out` line."""
    keys: dict[str, Any] = {}
    authentication: Any = NoSecurityAuthentication()
    if record["mechanism"] == "lls":
        authentication = LowLevelSecurityAuthentication(secret=bytes.fromhex(record["secret"]))
    elif record["mechanism"] == "gmac":
        authentication = gmac(challenge_length=16)
        keys = {
            "encryption_key": bytes.fromhex(record["ek"]),
            "authentication_key": bytes.fromhex(record["ak"]),
            "client_system_title": b"HESPEER1",
            "client_initial_invocation_counter": 1,
        }
    framing = Hdlc if record["transport"] == "hdlc" else TcpTransport
    transport = framing(
        client_logical_address=record["client_sap"],
        server_logical_address=record["server_sap"],
        io=Io(host=record["address"], port=record["port"]),
    )
    client = DlmsClient(
        transport=transport, authentication=authentication, max_pdu_size=pdu, **keys
    )
    try:
        with client.session() as opened:
            yield opened
    finally:
        if transport.io.tcp_socket is not None:
            transport.io.tcp_socket.close()


def attribute(interface: enumerations.CosemInterface, obis: str, index: int) -> Any:
    return cosem.CosemAttribute(interface, cosem.Obis.from_string(obis), index)


def read_meter(record: Mapping[str, Any], pdu: int) -> dict[str, Any]:
    """What the peer reads in one session."""
    kinds = enumerations.CosemInterface
    clock = attribute(kinds.CLOCK, "0.0.1.0.0.255", 2)
    profile = attribute(kinds.PROFILE_GENERIC, "1.0.99.1.0.255", 2)
    last_hours = RangeDescriptor(
        restricting_object=CaptureObject(cosem_attribute=clock, data_index=0),
        from_value=NOW - timedelta(hours=6),
        to_value=NOW,
    )
    with session(record, pdu) as client:
        return {
            "clock": utils.parse_as_dlms_data(client.get(clock)),
            "energy": utils.parse_as_dlms_data(
                client.get(attribute(kinds.REGISTER, "1.0.1.8.0.255", 2))
            ),
            "rows": utils.parse_as_dlms_data(client.get(profile)),
            "last_hours": utils.parse_as_dlms_data(client.get(profile, last_hours)),
        }


@pytest.mark.parametrize("security", [Security.NONE, Security.LLS, Security.GMAC])
@pytest.mark.parametrize(
    ("pdu", "hdlc"),
    [
        (256, False),
        (65535, False),
        pytest.param(256, True, marks=pytest.mark.conformance("hdlc-tcp", "server")),
        pytest.param(65535, True, marks=pytest.mark.conformance("hdlc-segmentation", "server")),
    ],
)
async def test_dlms_cosem_reads_our_meters(security: Security, pdu: int, hdlc: bool) -> None:
    settings = FleetSettings(
        meters=2, port=0, profile_days=1, security=security, max_receive_pdu_size=pdu, hdlc=hdlc
    )
    fleet = Fleet(settings, start_number=1, now=lambda: NOW)
    async with trio.open_nursery() as nursery:
        await nursery.start(fleet.serve)
        record = list(fleet.meter_file())[1]
        found = await trio.to_thread.run_sync(read_meter, record, pdu)
        nursery.cancel_scope.cancel()
    meter = fleet.meter(1)
    clock = CosemDateTime.from_octets(bytes(found["clock"]))
    assert clock.isoformat() == "2026-11-21T10:20:00+01:00"
    assert found["energy"] == meter.curve.registers(NOW).import_wh
    truth = list(rows(meter, NOW - timedelta(days=1), NOW))
    assert [row[1:] for row in found["rows"]] == [list(row.values.values()) for row in truth]
    assert [row[1:] for row in found["last_hours"]] == [
        list(row.values.values()) for row in truth[-24:]
    ]


async def test_a_counter_used_twice_is_refused() -> None:
    """
    Unchanged, dlms-cosem proves itself with the counter of the APDU that carries the proof.

    That is one key and one initialization vector for two messages, which gives away what GCM's
    authentication rests on; the server refuses it (docs/adr/0002).
    """
    fleet = Fleet(FleetSettings(meters=1, port=0), start_number=1)
    async with trio.open_nursery() as nursery:
        await nursery.start(fleet.serve)
        record = next(iter(fleet.meter_file()))
        with pytest.raises(HLSError):
            await trio.to_thread.run_sync(associate_unchanged, record)
        nursery.cancel_scope.cancel()


def associate_unchanged(record: Mapping[str, Any]) -> None:
    """Try to associate as the peer is."""
    with session(record, 512, HighLevelSecurityGmacAuthentication):
        pass
