"""What a row of a meter file may hold, and what is said of one that may not."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from hes.domain.meters import Association, Mechanism, Policy, Secrets, Transport
from hes.meters.fields import RowError
from hes.meters.rows import parse_row
from hes_protocol.cosem import Obis

EK = "000102030405060708090a0b0c0d0e0f"
AK = "d0d1d2d3d4d5d6d7d8d9dadbdcdddedf"
GMAC = {"mechanism": "gmac", "ek": EK, "ak": AK}


def row(**fields: Any) -> bytes:
    return json.dumps({"serial": "S1", "timezone": "Europe/Vienna", **fields}).encode()


def error_of(text: bytes) -> RowError:
    with pytest.raises(RowError) as caught:
        parse_row(text)
    return caught.value


def test_reads_a_row_as_the_simulator_writes_it() -> None:
    spec = parse_row(
        row(
            system_title="48455330000000A1",
            address="127.16.0.1",
            port=4159,
            transport="hdlc",
            client_sap=1,
            server_sap=17,
            mechanism="gmac",
            suite=0,
            secret="3030303030303030",
            ek=EK,
            ak=AK.upper(),
            model="sim-basic",
            commissioned_at="2026-01-01T00:00:00+01:00",
            id_object="0.0.96.1.0.255=ABC 1",
            peer="127.0.0.0/8",
        )
    )
    assert spec.associations[0].association == Association(
        1, 17, Mechanism.HLS_GMAC, 0, Policy.AUTHENTICATED_ENCRYPTED
    )
    assert spec.associations[0].secrets == Secrets(
        b"00000000", bytes.fromhex(EK), bytes.fromhex(AK)
    )
    assert spec.system_title == bytes.fromhex("48455330000000A1")
    assert (spec.address, spec.port, spec.transport) == ("127.16.0.1", 4159, Transport.HDLC)
    assert (spec.id_object, spec.id_value) == (Obis.parse("0.0.96.1.0.255"), "ABC 1")
    assert spec.commissioned_at == datetime(2025, 12, 31, 23, tzinfo=UTC)
    assert (spec.model, spec.peer) == ("sim-basic", "127.0.0.0/8")


def test_needs_no_more_than_serial_and_time_zone() -> None:
    spec = parse_row(row())
    assert spec.associations[0].association == Association()
    assert (spec.transport, spec.address, spec.port) == (Transport.WRAPPER, None, None)
    assert spec.commissioned_at is None


def test_takes_empty_and_null_for_not_given() -> None:
    names = ("system_title", "address", "port", "transport", "client_sap", "server_sap", "suite")
    names += ("mechanism", "secret", "ek", "ak", "model", "commissioned_at", "id_object", "peer")
    for nothing in (None, "", "  "):
        assert parse_row(row(**dict.fromkeys(names, nothing))) == parse_row(row())


@pytest.mark.parametrize(
    ("fields", "policy"),
    [
        ({}, Policy.PLAIN),
        ({"mechanism": "lls", "secret": "30"}, Policy.PLAIN),
        ({"ek": EK}, Policy.ENCRYPTED),
        ({"ek": EK, "ak": AK}, Policy.AUTHENTICATED_ENCRYPTED),
        ({"mechanism": "lls", "secret": "30", "ek": EK, "ak": AK}, Policy.AUTHENTICATED_ENCRYPTED),
        (GMAC, Policy.AUTHENTICATED_ENCRYPTED),
    ],
)
def test_accepts_no_less_protection_than_the_secrets_allow(
    fields: dict[str, Any], policy: Policy
) -> None:
    assert parse_row(row(**fields)).associations[0].association.policy is policy


@pytest.mark.parametrize(
    ("given", "mechanism"),
    [
        ("none", 0), ("NONE", 0), ("lls", 1), ("hls", 2), ("md5", 3), ("sha1", 4), ("gmac", 5),
        ("sha256", 6), ("ecdsa", 7), (0, 0), (5, 5), ("7", 7),
    ],
)  # fmt: skip
def test_takes_mechanisms_by_name_or_number(given: object, mechanism: int) -> None:
    spec = parse_row(row(mechanism=given, secret="30", ek=EK, ak=AK))
    assert spec.associations[0].association.mechanism == mechanism


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:DB8::0001", "2001:db8::1"),
        ("Meter-7.example", "meter-7.example"),
        ("meter_1", "meter_1"),
        ("m.example.", "m.example."),
    ],
)
def test_takes_addresses_and_host_names(given: str, read: str) -> None:
    spec = parse_row(row(address=given))
    assert (spec.address, spec.port) == (read, 4059)


def test_keeps_the_digits_of_a_serial_that_is_a_number() -> None:
    assert parse_row(b'{"serial": 7359992890941742, "timezone": "UTC"}').serial == (
        "7359992890941742"
    )


def test_skips_a_byte_order_mark() -> None:
    assert parse_row("\ufeff".encode() + row()).serial == "S1"


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"serial": None}, "serial", "missing"),
        ({"serial": " "}, "serial", "missing"),
        ({"serial": "x" * 65}, "serial", "64"),
        ({"serial": "a\0b"}, "serial", "printed"),
        ({"serial": "a\x1b[2Jb"}, "serial", "printed"),
        ({"serial": "\ud800"}, "serial", "printed"),
        ({"serial": 1.5}, "serial", "text"),
        ({"serial": ["a"]}, "serial", "text"),
        ({"serial": True}, "serial", "text"),
        ({"timezone": None}, "timezone", "missing"),
        ({"timezone": "Europe/Wien"}, "timezone", "Europe/Wien"),
        ({"timezone": "../../etc/passwd"}, "timezone", "IANA"),
        ({"timezone": "Europe"}, "timezone", "IANA"),
        ({"timezone": {}}, "timezone", "IANA"),
        ({"transport": "udp"}, "transport", "udp"),
        ({"transport": 1}, "transport", "wrapper"),
        ({"system_title": "4845"}, "system_title", "2 octets where 8"),
        ({"system_title": "xyz"}, "system_title", "hex"),
        ({"system_title": 4845}, "system_title", "hex"),
        ({"address": "127.1"}, "address", "IP address"),
        ({"address": "2130706433"}, "address", "IP address"),
        ({"address": 2130706433}, "address", "IP address"),
        ({"address": "0x7f.1"}, "address", "IP address"),
        ({"address": "1.2.3.256"}, "address", "IP address"),
        ({"address": "http://x/"}, "address", "IP address"),
        ({"address": "a b"}, "address", "IP address"),
        ({"address": "-a.example"}, "address", "IP address"),
        ({"address": "a..b"}, "address", "IP address"),
        ({"address": "a." * 130}, "address", "IP address"),
        ({"address": "::1", "port": 0}, "port", "1 to 65535"),
        ({"address": "::1", "port": 65536}, "port", "1 to 65535"),
        ({"address": "::1", "port": -1}, "port", "1 to 65535"),
        ({"address": "::1", "port": 1.0}, "port", "whole number"),
        ({"address": "::1", "port": True}, "port", "whole number"),
        ({"address": "::1", "port": "٤"}, "port", "whole number"),
        ({"port": 4059}, "port", "without an address"),
        ({"client_sap": 0}, "client_sap", "1 to 65535"),
        ({"client_sap": 128, "transport": "hdlc"}, "client_sap", "1 to 127"),
        ({"server_sap": 16384, "transport": "hdlc"}, "server_sap", "1 to 16383"),
        ({"mechanism": "hls5"}, "mechanism", "gmac"),
        ({"mechanism": 8}, "mechanism", "0 to 7"),
        ({"mechanism": []}, "mechanism", "0 to 7"),
        ({"suite": 3}, "suite", "0 to 2"),
        ({"ek": EK[:-2]}, "ek", "15 octets where 16"),
        ({"ek": EK * 2}, "ek", "32 octets where 16"),
        ({"ek": EK, "suite": 2}, "ek", "16 octets where 32"),
        ({"ek": EK[:-1]}, "ek", "hex"),
        ({"ak": AK}, "ek", "ak is given"),
        ({"mechanism": "gmac"}, "ek", "gmac"),
        ({"mechanism": "gmac", "ek": EK}, "ak", "gmac"),
        ({"mechanism": "lls"}, "secret", "lls"),
        ({"mechanism": "sha256"}, "secret", "sha256"),
        ({"mechanism": "lls", "secret": "00" * 257}, "secret", "257 octets"),
        ({"model": "m\n"+ "x"}, "model", "printed"),
        ({"commissioned_at": "yesterday"}, "commissioned_at", "2026-01-31T00:00:00Z"),
        ({"commissioned_at": "2026-01-01"}, "commissioned_at", "offset"),
        ({"commissioned_at": "0001-01-01T00:00:00+14:00"}, "commissioned_at", "1971"),
        ({"commissioned_at": 1767225600}, "commissioned_at", "time"),
        ({"id_object": "serial"}, "id_object", "OBIS"),
        ({"id_object": "0.0.96.1.0.999"}, "id_object", "OBIS"),
        ({"id_object": "0.0.96.1.0.255="}, "id_object", "equals sign"),
        ({"id_object": ["0.0.96.1.0.255"]}, "id_object", "text"),
        ({"peer": "10.1.2.3/24"}, "peer", "network"),
        ({"peer": "somewhere"}, "peer", "network"),
        ({"peer": 1}, "peer", "network"),
        ({"adress": "10.0.0.1"}, "adress", "no such field"),
        ({"Serial": "x"}, "Serial", "no such field"),
    ],
)  # fmt: skip
def test_says_what_is_wrong_in_which_field(
    fields: dict[str, Any], field: str, message: str
) -> None:
    error = error_of(row(**fields))
    assert error.field == field
    assert message in error.message
    assert error.serial == (None if field == "serial" else "S1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "not JSON"),
        (b"serial,timezone", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'"x"', "not a JSON object"),
        (b"\xff\xfe{}", "UTF-8"),
        (b"[" * 16000, "not JSON"),
        (b'{"serial": ' + b"9" * 8000 + b"}", "not JSON"),
        (b" " * 20000 + b"{}", "longer than 16384"),
    ],
)
def test_says_what_is_wrong_with_a_row_that_is_no_object(text: bytes, message: str) -> None:
    error = error_of(text)
    assert error.field is None
    assert message in error.message


def test_refuses_a_field_given_twice() -> None:
    error = error_of(b'{"serial": "S1", "timezone": "UTC", "serial": "S2"}')
    assert (error.field, error.message) == ("serial", "given twice")


CANARY = "c0ffee00c0ffee00c0ffee00c0ffee00"


@pytest.mark.parametrize(
    "fields",
    [
        {"ek": CANARY + "00"},
        {"ek": CANARY + "zz"},
        {"ek": CANARY, "mechanism": "gmac"},
        {"ak": CANARY},
        {"secret": "x" + CANARY, "mechanism": "lls"},
        *({name: CANARY} for name in ("timezone", "transport", "mechanism", "peer", "port")),
        *({name: CANARY} for name in ("address", "id_object", "commissioned_at", "suite")),
        {"system_title": CANARY},
        {CANARY: 1},
        {"ek " + CANARY: 1},
    ],
)
def test_never_quotes_what_may_be_a_secret(fields: dict[str, Any]) -> None:
    if fields.get("address"):
        fields = {"address": "!" + CANARY}
    error = error_of(row(**fields))
    for text in (str(error), repr(error), error.message, str(error.__cause__)):
        assert "c0ffee" not in text.lower()


def test_a_broken_line_is_not_quoted() -> None:
    error = error_of(f'{{"serial": "S1", "ek": "{CANARY}"'.encode())
    assert "c0ffee" not in f"{error!r}{error}"


def test_a_spec_prints_without_its_secrets() -> None:
    spec = parse_row(row(ek=CANARY, ak=CANARY, secret=CANARY))
    assert "c0ffee" not in repr(spec)
    assert "\\xc0" not in repr(spec)
