"""`hes dlms decode`: the contract's JSON, exit codes, keys only from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hes.cli.dlms import decode
from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.hdlc import Control, HdlcAddress, HdlcFrame, llc
from hes_protocol.security import Protection, SuiteKeys, protect
from hes_protocol.wrapper import WrapperFrame
from hes_protocol.xdlms import Ciphered, DataNotification, GetResponseNormal
from hes_protocol.xdlms.get import GetDataResult

EK, AK = bytes(range(16)), bytes(range(16, 32))
TITLE = b"HES\0\0\0\0\1"
SCALER_UNIT = structure(Data(DataTag.INTEGER, -1), Data(DataTag.ENUM, 35))
BODY = array(
    structure(
        Data(DataTag.OCTET_STRING, bytes((1, 0, 32, 7, 0, 255))),
        Data(DataTag.LONG_UNSIGNED, 2308),
        SCALER_UNIT,
    )
)
DATE_TIME = bytes.fromhex("07ea0101040000000000c400".replace("0000c400", "00ffc400"))
PUSH = DataNotification(1, DATE_TIME, BODY).encode()
READING = {
    "obis": "1.0.32.7.0.255",
    "class_id": 3,
    "attribute_index": 2,
    "raw": 2308,
    "scaler": -1,
    "unit": "V",
    "value": "230.8",
    "captured_at": "2026-01-01T00:00:00+01:00",
}


def hdlc(apdu: bytes) -> bytes:
    return HdlcFrame(
        destination=HdlcAddress(1),
        source=HdlcAddress(1),
        control=Control.from_octet(0x13),
        information=llc.add(apdu, response=True),
    ).to_octets()


def ciphered(protection: Protection = Protection.AUTHENTICATED_ENCRYPTED) -> bytes:
    content = protect(SuiteKeys(EK, AK), TITLE, protection, 23, PUSH)
    return Ciphered(0xDB, content, TITLE).encode()


def run(*arguments: str, stdin: str | None = None) -> tuple[Result, dict[str, Any]]:
    result = CliRunner().invoke(decode, list(arguments), input=stdin)
    return result, json.loads(result.stdout) if result.stdout.startswith("{") else {}


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    file = tmp_path / "keys.toml"
    file.write_text(f'ek = "{EK.hex()}"\nak = "{AK.hex()}"\n')
    return file


FRAMED = {
    "hdlc": hdlc(PUSH),
    "wrapper": WrapperFrame(1, 1, PUSH).to_octets(),
    "llc": llc.add(PUSH, response=True),
    "apdu": PUSH,
}


@pytest.mark.parametrize("transport", FRAMED)
def test_the_framing_is_found_and_the_reading_is_the_same(transport: str) -> None:
    result, answer = run(FRAMED[transport].hex())
    assert result.exit_code == 0
    assert answer["transport"] == transport
    assert answer["frames"] == 1
    assert answer["complete"] is True
    assert answer["error"] is None
    assert answer["readings"] == [READING]
    assert [apdu["name"] for apdu in answer["apdus"]] == ["data-notification"]


@pytest.mark.parametrize("transport", ["hdlc", "wrapper"])
def test_a_stream_that_ends_early_is_incomplete_at_every_octet(transport: str) -> None:
    octets = FRAMED[transport]
    for cut in range(3, len(octets)):
        # An HDLC frame is whole without its closing flag.
        if transport == "hdlc" and cut >= len(octets) - 1:
            continue
        result, answer = run(octets[:cut].hex(), "--transport", transport)
        assert (cut, result.exit_code, answer["complete"]) == (cut, 3, False)
        assert answer["readings"] == []


def test_a_broken_frame_is_named_and_what_came_before_it_stands() -> None:
    broken = bytearray(hdlc(PUSH))
    broken[20] ^= 1
    result, answer = run((hdlc(PUSH) + bytes(broken)).hex())
    assert result.exit_code == 1
    assert answer["error"]["code"] == "bad-fcs"
    assert answer["error"]["offset"] == len(hdlc(PUSH)) + 1
    assert answer["readings"] == [READING]


def test_a_verified_tag_is_said_and_the_header_shown(keys_file: Path) -> None:
    result, answer = run(hdlc(ciphered()).hex(), "--keys-file", str(keys_file))
    assert result.exit_code == 0
    (apdu,) = answer["apdus"]
    assert apdu["system_title"] == TITLE.hex()
    assert apdu["invocation_counter"] == 23
    assert apdu["security_control"] == "0x30"
    assert apdu["tag_verified"] is True
    assert answer["readings"] == [READING]


def test_without_an_authentication_key_the_tag_stays_unknown(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"ek": EK.hex()}))
    _, answer = run(ciphered().hex(), "--keys-file", str(file))
    assert answer["apdus"][0]["tag_verified"] is None
    assert answer["readings"] == [READING]


def test_a_wrong_tag_shows_nothing_of_the_inside(keys_file: Path) -> None:
    octets = bytearray(ciphered())
    octets[-1] ^= 1
    result, answer = run(octets.hex(), "--keys-file", str(keys_file))
    assert result.exit_code == 1
    assert answer["error"]["code"] == "tag-mismatch"
    assert answer["apdus"][0]["tag_verified"] is False
    assert answer["apdus"][0]["plain"] is None
    assert answer["readings"] == []


def test_without_keys_the_header_is_all_there_is() -> None:
    result, answer = run(ciphered().hex())
    assert result.exit_code == 1
    assert answer["error"]["code"] == "key-missing"
    assert answer["apdus"][0]["name"] == "general-glo-ciphering"
    assert answer["apdus"][0]["invocation_counter"] == 23


def test_a_response_is_named_by_the_request_before_it() -> None:
    request = bytes.fromhex("c001c100030100010800ff0200")
    data = Data(DataTag.DOUBLE_LONG_UNSIGNED, 4711)
    response = GetResponseNormal(GetDataResult(octets=b"\x06" + (4711).to_bytes(4, "big")))
    stream = WrapperFrame(16, 1, request).to_octets()
    stream += WrapperFrame(1, 16, response.encode()).to_octets()
    _, answer = run(stream.hex())
    assert [(r["obis"], r["raw"]) for r in answer["readings"]] == [("1.0.1.8.0.255", data.value)]


def test_an_answer_whose_value_is_cut_is_incomplete() -> None:
    whole = "c401c1000600001269"
    assert run(whole)[0].exit_code == 0
    for cut in (10, 12, 14, 16):
        result, answer = run(whole[:cut])
        assert (result.exit_code, answer["complete"]) == (3, False)


def test_records_get_a_line_each_whatever_they_are(tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    lines = [
        json.dumps({"id": "a", "hex": PUSH.hex(), "transport": "raw-apdu"}),
        "no json",
        json.dumps({"id": "b", "hex": "zz", "transport": "hdlc"}),
        json.dumps({"id": "c", "hex": "00", "transport": "pigeon"}),
        json.dumps({"id": "d", "hex": ciphered().hex(), "transport": "apdu",
                    "keys": {"ek": EK.hex(), "ak": AK.hex()}}),
        json.dumps({"id": "e", "hex": PUSH.hex(), "transport": "apdu", "keys": {"ek": "12"}}),
        json.dumps(["x"]),
    ]  # fmt: skip
    lines += [
        json.dumps({"id": "f", "hex": PUSH.hex(), "transport": "apdu", "keys": {"ek": "zz"}}),
        "[" * 200_000,
        json.dumps({"id": "g", "hex": PUSH.hex(), "transport": ["apdu"]}),
        json.dumps({"id": "h", "hex": PUSH.hex(), "transport": "llc", "frames": [1]}),
        json.dumps({"id": "i", "hex": PUSH.hex(), "transport": "apdu"}),
    ]
    file.write_bytes(b"\xff\xfe\n" + "\n".join(lines).encode())
    result = CliRunner().invoke(decode, ["--jsonl", str(file)])
    assert result.exit_code == 0
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == [
        1, "a", 3, "b", "c", "d", "e", 8, "f", 10, "g", "h", "i",
    ]  # fmt: skip
    assert [bool(answer["readings"]) for answer in answers] == [
        False, True, False, False, False, True, True, False, False, False, False, False, True,
    ]  # fmt: skip
    codes = [answer["error"] and answer["error"]["code"] for answer in answers]
    readable = {"a": None, "d": None, "e": "suite-unsupported", "i": None}
    assert codes == [readable.get(answer["id"], "not-a-record") for answer in answers]


@pytest.mark.parametrize("output", ["tree", "xml"])
def test_people_may_have_a_tree_or_xml(output: str) -> None:
    result = CliRunner().invoke(decode, [PUSH.hex(), "-o", output])
    assert result.exit_code == 0
    assert "230.8" in result.stdout


@pytest.mark.parametrize(
    "arguments", [[], ["zz"], ["00", "--system-title", "x"], ["00", "--transport", "pigeon"]]
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(decode, arguments).exit_code == 2


def test_hex_comes_from_stdin_too_with_blanks_in_it() -> None:
    spaced = " ".join(f"{octet:02x}" for octet in PUSH)
    _, answer = run("-", stdin=spaced + "\n")
    assert answer["readings"] == [READING]
