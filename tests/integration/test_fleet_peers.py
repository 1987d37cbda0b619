"""
A foreign client reads our meters: dlms-cosem 25.1.0 (dependency group `peers`) over TCP.

What it does differently is named here, so that nobody mends the meters for it. It has no HLS with
MD5, SHA-1 or SHA-256; `hashed` gives it these, as a head-end's maker would write them from the
standard's table and hashlib, with nothing of ours. Frames, APDUs, the associations' course and
decoding are the peer's in every case.

What an exchange is judged by, beside that it succeeds: the values are the truth of the meter, and
a proof of the server that is not what IEC 62056-5-3 says ("HLS authentication mechanisms") makes
the peer give up (`HLSError`), as a test with a wrong one shows.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
import trio
from dlms_cosem import cosem, enumerations, utils
from dlms_cosem.client import DataResultError, DlmsClient, HLSError
from dlms_cosem.cosem.capture_object import CaptureObject
from dlms_cosem.cosem.selective_access import RangeDescriptor
from dlms_cosem.io import BlockingTcpIO, HdlcTransport, TcpTransport
from dlms_cosem.security import (
    HighLevelSecurityGmacAuthentication,
    LowLevelSecurityAuthentication,
    NoSecurityAuthentication,
)

from hes.models import models
from hes_protocol._proofs import make_proof
from hes_protocol.cosem import CosemDateTime, Obis
from hes_protocol.models import CaptureOn, Model
from hes_protocol.quirks import Quirks
from hes_simulators import Fleet, FleetSettings, Security, rows
from hes_simulators.clock import microseconds

NOW = datetime(2026, 11, 21, 9, 20, tzinfo=UTC)
CLIENT_TITLE = b"HESPEER1"
CTOS = bytes(range(0x30, 0x40))
WRAPPER_AND_HDLC = [
    (256, False),
    (65535, False),
    pytest.param(256, True, marks=pytest.mark.conformance("hdlc-tcp", "server")),
    pytest.param(65535, True, marks=pytest.mark.conformance("hdlc-segmentation", "server")),
]


class Gmac(HighLevelSecurityGmacAuthentication):
    """The peer's own uses one counter twice, see `test_a_counter_used_twice_is_refused`."""

    def hls_generate_reply_data(self, connection: Any) -> bytes:
        proof: bytes = super().hls_generate_reply_data(connection)
        connection.client_invocation_counter += 1
        return proof


@attrs.define
class Hashed:
    """
    HLS by a hash, which the peer lacks.

    Source: IEC 62056-5-3, HLS authentication mechanisms 3, 4 and 6: pass 3 is f(StoC), pass 4
    f(CtoS) with client and server exchanged.
    """

    authentication_method: enumerations.AuthenticationMechanism
    # Of the secret, the challenge answered, the other challenge, the titles of who answers and who
    # has asked.
    function: Callable[[bytes, bytes, bytes, bytes, bytes], bytes]
    secret: bytes

    def get_calling_authentication_value(self) -> bytes:
        return CTOS

    def hls_generate_reply_data(self, connection: Any) -> bytes:
        return self.function(
            self.secret,
            connection.meter_to_client_challenge,
            CTOS,
            connection.client_system_title,
            connection.meter_system_title,
        )

    def hls_meter_data_is_valid(self, data: bytes, connection: Any) -> bool:
        return data == self.function(
            self.secret,
            CTOS,
            connection.meter_to_client_challenge,
            connection.meter_system_title,
            connection.client_system_title,
        )


def hashed(mechanism: str, secret: bytes) -> Hashed:
    """MD5 and SHA-1 of challenge and secret; SHA-256 of secret, titles and challenges."""
    kinds = enumerations.AuthenticationMechanism
    match mechanism:
        case "md5":
            return Hashed(
                kinds.HLS_MD5, lambda key, asked, *_: hashlib.md5(asked + key).digest(), secret
            )
        case "sha1":
            return Hashed(
                kinds.HLS_SHA1, lambda key, asked, *_: hashlib.sha1(asked + key).digest(), secret
            )
    return Hashed(
        kinds.HLS_SHA256,
        lambda key, asked, other, mine, theirs: hashlib.sha256(
            key + mine + theirs + asked + other
        ).digest(),
        secret,
    )


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
    keys: dict[str, Any] = {"client_system_title": CLIENT_TITLE}
    authentication: Any = NoSecurityAuthentication()
    if record["mechanism"] == "lls":
        authentication = LowLevelSecurityAuthentication(secret=bytes.fromhex(record["secret"]))
    elif record["mechanism"] == "gmac":
        authentication = gmac(challenge_length=16)
        keys |= {
            "encryption_key": bytes.fromhex(record["ek"]),
            "authentication_key": bytes.fromhex(record["ak"]),
            "client_initial_invocation_counter": 1,
        }
    elif record["mechanism"] != "none":
        authentication = hashed(record["mechanism"], bytes.fromhex(record["secret"]))
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


def read_meter(
    record: Mapping[str, Any], pdu: int, gmac: type[HighLevelSecurityGmacAuthentication] = Gmac
) -> dict[str, Any]:
    """What the peer reads in one session."""
    kinds = enumerations.CosemInterface
    clock = attribute(kinds.CLOCK, "0.0.1.0.0.255", 2)
    profile = attribute(kinds.PROFILE_GENERIC, "1.0.99.1.0.255", 2)
    last_hours = RangeDescriptor(
        restricting_object=CaptureObject(cosem_attribute=clock, data_index=0),
        from_value=NOW - timedelta(hours=6),
        to_value=NOW,
    )
    with session(record, pdu, gmac) as client:
        return {
            "clock": utils.parse_as_dlms_data(client.get(clock)),
            "energy": utils.parse_as_dlms_data(
                client.get(attribute(kinds.REGISTER, "1.0.1.8.0.255", 2))
            ),
            "rows": utils.parse_as_dlms_data(client.get(profile)),
            "last_hours": utils.parse_as_dlms_data(client.get(profile, last_hours)),
        }


@asynccontextmanager
async def serving(**changes: Any) -> AsyncIterator[Fleet]:
    """Two meters on a port of the system's choice."""
    settings = FleetSettings(meters=2, port=0, profile_days=1, **changes)
    fleet = Fleet(settings, start_number=1, now=lambda: NOW)
    async with trio.open_nursery() as nursery:
        await nursery.start(fleet.serve)
        yield fleet
        nursery.cancel_scope.cancel()


def expect_truth(fleet: Fleet, index: int, found: Mapping[str, Any]) -> None:
    """What the peer has read is what the meter holds."""
    meter = fleet.meter(index)
    clock = CosemDateTime.from_octets(bytes(found["clock"]))
    assert clock.isoformat() == "2026-11-21T10:20:00+01:00"
    assert found["energy"] == meter.measuring.total("import_wh", microseconds(NOW))
    truth = list(rows(meter, NOW - timedelta(days=1), NOW))
    assert len(truth) == 96
    assert [row[1:] for row in found["rows"]] == [list(row.values.values()) for row in truth]
    assert [row[1:] for row in found["last_hours"]] == [
        list(row.values.values()) for row in truth[-24:]
    ]


@pytest.mark.parametrize("security", list(Security))
@pytest.mark.parametrize(("pdu", "hdlc"), WRAPPER_AND_HDLC)
async def test_dlms_cosem_reads_our_meters(security: Security, pdu: int, hdlc: bool) -> None:
    async with serving(security=security, max_receive_pdu_size=pdu, hdlc=hdlc) as fleet:
        record = list(fleet.meter_file())[1]
        expect_truth(fleet, 1, await trio.to_thread.run_sync(read_meter, record, pdu))


@pytest.mark.conformance("counter-reuse", "server")
@pytest.mark.parametrize("hdlc", [False, True])
async def test_a_model_may_put_up_with_a_counter_used_twice(hdlc: bool) -> None:
    quirks = Quirks(counter_reuse=True)
    async with serving(security=Security.GMAC, hdlc=hdlc, quirks=quirks) as fleet:
        record = list(fleet.meter_file())[1]
        unchanged = HighLevelSecurityGmacAuthentication
        expect_truth(fleet, 1, await trio.to_thread.run_sync(read_meter, record, 512, unchanged))


@pytest.mark.parametrize("hdlc", [False, True])
async def test_unchanged_the_peer_is_refused_by_every_other_model(hdlc: bool) -> None:
    """
    Unchanged, dlms-cosem proves itself with the counter of the APDU that carries the proof.

    That is one key and one initialization vector for two messages, which gives away what GCM's
    authentication rests on; the server refuses it (docs/adr/0002).
    """
    async with serving(security=Security.GMAC, hdlc=hdlc) as fleet:
        record = next(fleet.meter_file())
        with pytest.raises(HLSError):
            await trio.to_thread.run_sync(associate, record, HighLevelSecurityGmacAuthentication)


@pytest.mark.parametrize("security", [Security.MD5, Security.SHA1, Security.SHA256])
async def test_a_wrong_secret_proves_nothing(security: Security) -> None:
    async with serving(security=security) as fleet:
        record = dict(next(fleet.meter_file()))
        record["secret"] = bytes(16).hex()
        with pytest.raises(HLSError):
            await trio.to_thread.run_sync(associate, record)


@pytest.mark.parametrize("security", [Security.MD5, Security.SHA1, Security.SHA256, Security.GMAC])
async def test_the_peer_does_judge_what_the_meter_proves(
    security: Security, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A meter whose own proof were wrong would not pass the tests above."""

    def spoilt(*arguments: Any, **named: Any) -> Any:
        proof = make_proof(*arguments, **named)
        return attrs.evolve(proof, value=proof.value[:-1] + bytes((proof.value[-1] ^ 1,)))

    monkeypatch.setattr("hes_protocol._server_session.make_proof", spoilt)
    async with serving(security=security) as fleet:
        record = next(fleet.meter_file())
        with pytest.raises(HLSError):
            await trio.to_thread.run_sync(associate, record)


def associate(
    record: Mapping[str, Any], gmac: type[HighLevelSecurityGmacAuthentication] = Gmac
) -> None:
    """Try no more than to associate."""
    with session(record, 512, gmac):
        pass


def read_as_it_is(record: Mapping[str, Any], profile: str) -> dict[str, Any]:
    """What the peer reads of any electricity meter: clock, energy, capture objects, buffer."""
    kinds = enumerations.CosemInterface
    with session(record, 512) as client:
        return {
            name: utils.parse_as_dlms_data(client.get(attribute(kind, obis, index)))
            for name, kind, obis, index in (
                ("clock", kinds.CLOCK, "0.0.1.0.0.255", 2),
                ("energy", kinds.REGISTER, "1.0.1.8.0.255", 2),
                ("columns", kinds.PROFILE_GENERIC, profile, 3),
                ("rows", kinds.PROFILE_GENERIC, profile, 2),
            )
        }


# Not that with the quirks of several meters, which the peer knows nothing of.
LISTENING = [
    model
    for model in models()
    if model.meter is not None and model.meter.listens and model.name != "hes-household-odd"
]


@pytest.mark.parametrize("model", LISTENING, ids=lambda model: model.name)
async def test_dlms_cosem_reads_a_meter_of_every_listening_model(model: Model) -> None:
    """As its file has it: clients, security, PDU size."""
    regular = [one for one in model.profiles.values() if one.on is CaptureOn.PERIOD]
    async with serving(model=model.name) as fleet:
        record = list(fleet.meter_file())[1]
        profile = str(regular[0].obis)
        found = await trio.to_thread.run_sync(read_as_it_is, record, profile)
        meter = fleet.meter(1)
    clock = CosemDateTime.from_octets(bytes(found["clock"])).isoformat()
    assert clock is not None
    assert datetime.fromisoformat(clock) == meter.clock(NOW).replace(microsecond=0)
    held = meter.measuring.total("import_wh", microseconds(NOW))
    scaler = model.scaler_units[3, Obis.parse("1.0.1.8.0.255")].scaler
    assert found["energy"] == held // 10**scaler
    assert len(found["columns"]) == len(regular[0].capture_objects)
    assert len(found["rows"]) > 0
    assert {len(row) for row in found["rows"]} == {len(found["columns"])}


def command_meter(record: Mapping[str, Any]) -> dict[str, Any]:
    """What the peer does besides reading: SET, ACTION, a list, and what is refused."""
    kinds = enumerations.CosemInterface
    relay = attribute(kinds.DISCONNECT_CONTROL, "0.0.96.3.10.255", 2)
    threshold = attribute(kinds.LIMITER, "0.0.17.0.0.255", 4)
    found: dict[str, Any] = {}
    with session(record, 512) as client:
        client.set(threshold, bytes.fromhex("0600000FA0"))
        found["threshold"] = utils.parse_as_dlms_data(client.get(threshold))
        both = [cosem.CosemAttributeWithSelection(one, None) for one in (relay, threshold)]
        found["list"] = [one.value for one in client.get_many(both).response_data]
        off = cosem.CosemMethod(relay.interface, relay.instance, 1)
        client.action(off, bytes.fromhex("0F00"))
        found["relay"] = utils.parse_as_dlms_data(client.get(relay))
        for name, denied in (
            ("secret", attribute(kinds.ASSOCIATION_LN, "0.0.40.0.0.255", 7)),
            ("absent", attribute(kinds.REGISTER, "1.0.99.99.0.255", 2)),
        ):
            with pytest.raises(DataResultError) as caught:
                client.get(denied)
            found[name] = str(caught.value)
    return found


@pytest.mark.parametrize("hdlc", [False, True])
async def test_dlms_cosem_writes_and_switches(hdlc: bool) -> None:
    async with serving(model="idis-single-phase", hdlc=hdlc) as fleet:
        record = list(fleet.meter_file())[1]
        found = await trio.to_thread.run_sync(command_meter, record)
        assert (found["threshold"], found["list"]) == (4000, [True, 4000])
        assert (found["relay"], fleet.meter(1).is_connected) == (False, False)
        assert "READ_WRITE_DENIED" in found["secret"]
        assert "OBJECT_UNDEFINED" in found["absent"]
