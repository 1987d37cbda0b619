"""`hes dlms encode`: what decode shows is encoded to the same octets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given

from hes.cli.dlms import decode, encode_command
from hes.cli.encoding import TreeError, octets_of
from hes.cli.translation import document
from hes_protocol.axdr import Data, decode_all, encode
from hes_protocol.translator import TransportKind, translate
from hes_protocol.xdlms import Apdu
from tests.apdus import apdus
from tests.strategies import trees


@given(apdus())
def test_what_decode_shows_of_an_apdu_is_encoded_to_its_octets(apdu: Apdu) -> None:
    octets = apdu.encode()
    [shown, *_] = document(translate(octets, TransportKind.APDU))["apdus"]
    assert octets_of(json.loads(json.dumps(shown))) == octets


@given(trees())
def test_bare_data_goes_both_ways(data: Data) -> None:
    octets = encode(data)
    shown = document(translate(octets, TransportKind.APDU))["apdus"]
    if shown and shown[0]["name"] == "data":  # octets that are an APDU as well are that
        assert octets_of(shown[0]) == octets
        assert octets_of(shown[0]["value"]) == octets


@pytest.mark.parametrize(
    ("tree", "octets"),
    [
        ({"unsigned": 5}, "1105"),
        ({"boolean": True}, "0301"),
        ({"bit-string": "101"}, "0403a0"),
        ({"float32": 1.5}, "173fc00000"),
        ({"structure": [{"null-data": None}, {"octet-string": "0102", "text": "ab"}]},
         "02020009020102"),
        ({"name": "get-request-normal",
          "value": {"attribute": {"class_id": 8, "obis": "0.0.1.0.0.255", "index": 2}}},
         "c001c100080000010000ff0200"),
        ({"name": "rlrq", "value": {"reason": 0}}, "6203800100"),
    ],
)  # fmt: skip
def test_trees_written_by_hand(tree: Any, octets: str) -> None:
    assert octets_of(tree).hex() == octets


@pytest.mark.parametrize(
    ("tree", "where"),
    [
        ([], "object"),
        ({}, "data"),
        ({"name": "x"}, "no APDU"),
        ({"furlong": 1}, "no type"),
        ({"unsigned": 256}, "UNSIGNED"),
        ({"unsigned": "5"}, "unsigned"),
        ({"unsigned": True}, "unsigned"),
        ({"boolean": 1}, "boolean"),
        ({"octet-string": "0"}, "octet-string"),
        ({"bit-string": "12"}, "bit-string"),
        ({"float32": "x"}, "float32"),
        ({"structure": 1}, "list"),
        ({"structure": [5]}, r"structure\[0\]"),
        ({"compact-array": []}, "compact-array"),
        ({"name": "get-request-normal", "value": {}}, "attribute is missing"),
        ({"name": "get-request-normal", "value": 1}, "object"),
        ({"name": "get-request-normal", "value": {"attribute": {"class_id": 8, "obis": "1",
          "index": 2}}}, "obis"),
        ({"name": "set-response-normal", "value": {"result": "fine"}}, "none of its names"),
        ({"name": "get-request-with-list", "value": {"accesses": 1}}, "list"),
        ({"name": "access-request", "value": {"specifications": [{}], "values": []}}, "kind"),
        ({"name": "initiate-request", "value": {"conformance": "get"}}, "conformance"),
    ],
)  # fmt: skip
def test_what_cannot_be_encoded_says_where(tree: Any, where: str) -> None:
    with pytest.raises(TreeError, match=where):
        octets_of(tree)


def test_a_tree_that_is_too_deep_is_refused() -> None:
    tree: Any = {"unsigned": 1}
    for _ in range(500):
        tree = {"structure": [tree]}
    with pytest.raises(TreeError, match="too deep"):
        octets_of(tree)


@pytest.mark.parametrize("transport", ["apdu", "wrapper", "hdlc", "llc", "mbus"])
@pytest.mark.parametrize("direction", [[], ["--to-server"]])
def test_frames_around_it_decode_to_the_same(transport: str, direction: list[str]) -> None:
    tree = json.dumps({"name": "data-notification", "value": {
        "long_invoke_id_and_priority": 1, "date_time": None, "body": {"double-long-unsigned": 7},
    }})  # fmt: skip
    encoded = CliRunner().invoke(encode_command, [tree, "--transport", transport, *direction])
    assert encoded.exit_code == 0
    shown = CliRunner().invoke(decode, [encoded.stdout.strip(), "--transport", transport])
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["readings"][0]["raw"] == 7


def test_exit_codes_and_stdin() -> None:
    run = CliRunner().invoke
    assert run(encode_command, ["-"], input='{"unsigned": 5}').stdout == "1105\n"
    assert run(encode_command, ["{"]).exit_code == 2
    assert run(encode_command, ['{"unsigned": 300}']).exit_code == 1
    assert run(encode_command, ['{"unsigned": 3}', "--client", "70000"]).exit_code == 2


def test_a_bare_list_is_named_by_the_model() -> None:
    push = "0f00000001000201060000" + "05dc"
    assert decode_all(bytes.fromhex(push[12:])) is not None
    unnamed = json.loads(CliRunner().invoke(decode, [push, "--transport", "apdu"]).stdout)
    assert unnamed["readings"][0]["obis"] is None
    done = CliRunner().invoke(decode, [push, "--transport", "apdu", "--model", "kaifa-ma"])
    [reading] = json.loads(done.stdout)["readings"]
    assert (reading["obis"], reading["value"], reading["unit"]) == ("1.0.1.7.0.255", "1500", "W")
    assert CliRunner().invoke(decode, [push, "--model", "nobody"]).exit_code == 2
