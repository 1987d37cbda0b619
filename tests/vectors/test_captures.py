"""The captures of real meters, read from HES_VECTORS; they are never committed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hes.cli.dlms import decode
from hes_protocol.security import SuiteKeys
from hes_protocol.security.hls_gmac import gmac_token, verify_gmac_token
from tests.vectors.compare import core, first_light, report

pytestmark = pytest.mark.vectors

# Expectations that the octets do not hold: rounded by the reference (currents), computed by it
# (energies carried over from an earlier frame or multiplied in floats), misprinted, or prose.
# docs/reference/captures.md gives the reason for each.
NOT_IN_THE_OCTETS = {
    "push-iskra-gas-suffix",
    "gb-glo-initiate-response",
    "osgp-mx382-lastgasp",
    "ams-aidon-gh1119-1",
    "ams-aidon-gh1119-2",
    "ams-aidon-gh1119-3",
    "ams-aidon-gh1119-4",
    "ams-kaifa-gh180-2",
    "ams-kaifa-gh242-3",
    "ams-kaifa-gh493-1",
    "ams-kamstrup-em001-2",
    "ams-kamstrup-gh175-2",
    "ams-kamstrup-gh196-1",
    "u9n-get-list-resp",
    "u9n-profile-null-compressed",
}

# What the broken ones deserve: the code of an error, INCOMPLETE, or WHOLE where only the framing
# was taken off before they were published.
INCOMPLETE, WHOLE = "incomplete", "whole"
DESERVED = {
    "gbt-lg-e450-partial": INCOMPLETE,
    "gbt-lg-last-block": INCOMPLETE,
    "push-netznoe-plain-1": INCOMPLETE,
    "frag-spodes-profile-seg": INCOMPLETE,
    "frag-modem-seg": INCOMPLETE,
    "ams-kaifa-gh247-1": "bad-stop",
    "ams-kamstrup-em001-5": INCOMPLETE,
    "ams-kamstrup-gh157-1": "bad-fcs",
    "ams-kamstrup-gh175-1": "bad-fcs",
    "ams-kamstrup-gh175-3": "bad-fcs",
    "ams-kamstrup-gh194-1": "bad-fcs",
    "ams-kamstrup-gh194-2": "bad-fcs",
    "ams-kamstrup-gh194-3": "bad-fcs",
    "ams-kamstrup-gh194-4": "bad-fcs",
    "ams-kamstrup-gh196-1": "bad-format",
    "ams-kamstrup-gh196-2": "bad-fcs",
    "ams-kamstrup-gh196-3": "bad-fcs",
    "ams-kamstrup-gh244-1": "bad-fcs",
    "ams-kamstrup-gh244-5": INCOMPLETE,
    "ams-kamstrup-gh247-2": "bad-fcs",
    "ams-kamstrup-gh339-1": INCOMPLETE,
    "ams-kamstrup-gh355-1": "bad-format",
    "ams-kamstrup-gh355-2": "bad-format",
    "ams-kamstrup-gh362-1": "bad-format",
    "ams-kamstrup-gh73-3": "trailing-octets",
    "ams-landis-gyr-em-ct623-1": INCOMPLETE,
    "ams-landis-gyr-em-ct623-2": INCOMPLETE,
    "ams-sagemcom-gh143-3": INCOMPLETE,
    "ams-sagemcom-gh248-1": "key-missing",
    "ams-sagemcom-gh248-2": "key-missing",
    "ams-sagemcom-gh301-1": "bad-stop",
    "edp-raw_sagemcom_xt211": WHOLE,
    "scs-e450-invalid-dup": INCOMPLETE,
    "roar-kaifa-31": WHOLE,
    "roar-kaifa-113": WHOLE,
    "roar-kaifa-147": WHOLE,
}
BROKEN_KINDS = ("negative", "partial", "edge", "fragments")

Pairs = list[tuple[dict[str, Any], dict[str, Any]]]


@pytest.fixture(scope="module")
def pairs(hes_vectors: Path) -> Pairs:
    """Each record with our answer to it, by the command that people use."""
    captures = hes_vectors / "captures.jsonl"
    records = [json.loads(line) for line in captures.read_text(encoding="utf-8").splitlines()]
    done = CliRunner().invoke(decode, ["--jsonl", str(captures)])
    assert done.exit_code == 0
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == [record["id"] for record in records]
    return list(zip(records, answers, strict=True))


@pytest.mark.conformance("mbus", "vector")
@pytest.mark.conformance("push-layouts", "vector")
@pytest.mark.parametrize(("scope", "least"), [(first_light, 66), (core, 122)])
def test_what_the_octets_hold_decodes(
    pairs: Pairs, scope: Callable[[dict[str, Any]], bool], least: int
) -> None:
    chosen = [pair for pair in pairs if scope(pair[0])]
    verdicts = report(*zip(*chosen, strict=True))
    counted = [verdict for verdict in verdicts if verdict.counted]
    assert len(counted) >= least
    wrong = {verdict.id for verdict in counted if not verdict.right}
    in_scope = {record["id"] for record, _ in chosen}
    assert wrong == NOT_IN_THE_OCTETS & in_scope


def test_what_is_broken_gets_the_error_that_it_deserves(pairs: Pairs) -> None:
    found = {}
    for record, answer in pairs:
        if record["kind"] not in BROKEN_KINDS or not core(record):
            continue
        error = answer["error"]
        found[record["id"]] = (
            error["code"] if error else WHOLE if answer["complete"] else INCOMPLETE
        )
    assert found == DESERVED


def test_sessions_decode_whole_in_both_directions(pairs: Pairs) -> None:
    sessions = [pair for pair in pairs if pair[0]["kind"] == "session"]
    assert len(sessions) >= 10
    for record, answer in sessions:
        assert answer["complete"], record["id"]
        # One capture holds a frame with noise of its own; all around it is read.
        assert answer["error"] is None or answer["error"]["code"] == "bad-fcs", record["id"]
        names = [apdu["name"] for apdu in answer["apdus"]]
        assert not [name for name in names if name.startswith(("glo-", "general-glo", "ded-"))]
        for request, response in (
            ("get-request-normal", "get-response"),
            ("aarq", "aare"),
            ("action-request-normal", "action-response"),
        ):
            if request in names:
                assert any(name.startswith(response) for name in names), record["id"]


@pytest.mark.parametrize("record_id", ["gb-hls5-fstoc", "gb-hls5-fctos"])
def test_answers_to_challenges_are_recomputed(pairs: Pairs, record_id: str) -> None:
    [record] = [record for record, _ in pairs if record["id"] == record_id]
    keys = {name: bytes.fromhex(value) for name, value in record["keys"].items()}
    suite_keys, token = SuiteKeys(keys["ek"], keys["ak"]), bytes.fromhex(record["hex"])
    counter = int.from_bytes(keys["ic"], "big")
    assert gmac_token(suite_keys, keys["st"], counter, keys["challenge"]) == token
    assert verify_gmac_token(suite_keys, keys["st"], token, keys["challenge"]) == counter


def test_no_key_of_a_capture_is_printed(hes_vectors: Path) -> None:
    captures = hes_vectors / "captures.jsonl"
    records = [json.loads(line) for line in captures.read_text(encoding="utf-8").splitlines()]
    done = CliRunner().invoke(decode, ["--jsonl", str(captures)])
    # Published keys may be so plain that they also stand in frames, as dedicated keys or secrets.
    frames = "".join(
        record["hex"] + json.dumps(record.get("decoded_by_reference")) for record in records
    )
    keys = {
        str((record.get("keys") or {}).get(name) or "")
        for record in records
        for name in ("ek", "ak")
    }
    hidden = {key.lower() for key in keys if len(key) == 32 and key.lower() not in frames.lower()}
    assert hidden
    assert not [key for key in hidden if key in done.stdout.lower()]
