"""The captures of real meters, read from HES_VECTORS; they are never committed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from hes.cli.dlms import decode
from tests.vectors.compare import first_light, report

pytestmark = pytest.mark.vectors

# Expectations that the octets do not hold: rounded by the reference (currents), computed by it
# (energies carried over from an earlier frame or multiplied in floats), misprinted, or prose.
# docs/reference/captures.md gives the reason for each.
NOT_IN_THE_OCTETS = {
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
    "scs-e360-vse2026",
    "u9n-get-list-resp",
    "u9n-profile-null-compressed",
}


def test_every_record_gets_its_line_and_what_the_octets_hold_decodes(hes_vectors: Path) -> None:
    captures = hes_vectors / "captures.jsonl"
    records = [json.loads(line) for line in captures.read_text(encoding="utf-8").splitlines()]
    done = CliRunner().invoke(decode, ["--jsonl", str(captures)])
    assert done.exit_code == 0
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == [record["id"] for record in records]
    chosen = [pair for pair in zip(records, answers, strict=True) if first_light(pair[0])]
    verdicts = report(*zip(*chosen, strict=True))
    counted = [verdict for verdict in verdicts if verdict.counted]
    assert len(counted) >= 60
    assert {verdict.id for verdict in counted if not verdict.right} == NOT_IN_THE_OCTETS


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
