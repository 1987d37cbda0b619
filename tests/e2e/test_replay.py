"""
Real pushes, replayed as their meters sent them: from port 4059 to the API.

Every number that the translator reads in a capture must be served for the meter that the frame
names; frames dated outside a meter's window must stand in quarantine; nothing may be stored for a
meter whose key is not known.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hes.services import Postgres
from tests.e2e.system import System, free_port, system, wait_until

pytestmark = pytest.mark.vectors

IDS = ("0.0.96.1.0.255", "1.1.0.0.5.255", "0.0.42.0.0.255")
LINE = "LINE"
# A meter that is imported as commissioned only this year: its older frames are outside its window.
LATE = "2026-01-01T00:00:00Z"
EARLY = "2010-01-01T00:00:00Z"
SYNTHETIC = "5706567000000000"


def is_push(record: dict[str, Any]) -> bool:
    return record["transport"] in ("hdlc", "wrapper", "mbus-dlms") and record["kind"] in (
        "push", "segmented", "stream",
    )  # fmt: skip


def identity(answer: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """How the meter of a capture is known, and what its row in the meter file says."""
    title = next((apdu["system_title"] for apdu in answer["apdus"] if apdu["system_title"]), None)
    if title is not None:
        return title, {"serial": f"T-{title}", "system_title": title}
    for reading in answer["readings"]:
        if reading["obis"] in IDS and isinstance(reading["raw"], str):
            return reading["raw"], {"serial": reading["raw"], "id_object": reading["obis"]}
    return LINE, {"serial": LINE, "peer": "127.0.0.0/8"}


@pytest.fixture
def running(tmp_path: Path, postgres_server: Postgres) -> Iterator[tuple[System, int, int]]:
    """Collector and API on one database; their ports."""
    inbound, api = free_port(), free_port()
    with system(
        tmp_path,
        HES_DATABASE_URL=postgres_server.url,
        HES_COLLECTOR_LISTEN_PORT=str(inbound),
        HES_API_PORT=str(api),
    ) as made:
        assert made.run("migrate").returncode == 0
        made.hes("collect", "dlms")
        made.hes("api")
        yield made, inbound, api


def get(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return json.load(answer)


def ask_for_replay(port: int, entry_id: int) -> None:
    url = f"http://127.0.0.1:{port}/v1/quarantine/{entry_id}/replay?why=test&any_time=true"
    request = urllib.request.Request(url, method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 202


def served(port: int, meter_id: str) -> set[tuple[str, Decimal]]:
    """All numbers that the API serves for a meter, by object."""
    found = set()
    for channel in get(port, f"/v1/meters/{meter_id}/channels")["items"]:
        path = (
            f"/v1/meters/{meter_id}/readings?channel={channel['id']}"
            "&from=2010-01-01T00:00:00Z&to=2030-01-01T00:00:00Z&limit=1000"
        )
        for reading in get(port, path)["items"]:
            try:
                found.add((channel["obis"], Decimal(reading["value"])))
            except (ArithmeticError, TypeError):
                continue
    return found


def answers_on(port: int) -> bool:
    try:
        return bool(get(port, "/healthz"))
    except OSError:
        return False


def test_real_pushes_become_readings(
    running: tuple[System, int, int], hes_vectors: Path, tmp_path: Path
) -> None:
    made, inbound, api = running
    captures = hes_vectors / "captures.jsonl"
    records = [json.loads(line) for line in captures.read_text().splitlines()]
    decoded = made.run("dlms", "decode", "--jsonl", str(captures))
    answers = [json.loads(line) for line in decoded.stdout.splitlines()]
    meters: dict[str, dict[str, Any]] = {}
    expected: dict[str, dict[tuple[str, str], Decimal]] = {}
    texts: dict[str, set[tuple[str, Decimal]]] = {}
    for record, answer in zip(records, answers, strict=True):
        if not is_push(record):
            continue
        key, row = identity(answer)
        keys = record.get("keys") or {}
        meters.setdefault(key, {**row, "ek": keys.get("ek"), "ak": keys.get("ak")})
        for number, reading in enumerate(answer["readings"]):
            if reading["obis"] is None or isinstance(reading["raw"], str):
                continue
            # Of two pushes for one instant the later one counts, the earlier is its revision's
            # predecessor; without a clock each is of its own instant.
            at = reading["captured_at"] or f"{record['id']}-{number}"
            expected.setdefault(key, {})[reading["obis"], at] = Decimal(reading["value"])
        expected.setdefault(key, {})
        # A meter's type may be a text of digits.
        texts.setdefault(key, set()).update(
            (reading["obis"], Decimal(reading["value"]))
            for reading in answer["readings"]
            if isinstance(reading["raw"], str) and reading["value"].isdecimal()
        )
    assert len(meters) >= 20
    file = tmp_path / "meters.jsonl"
    with file.open("w") as lines:
        for key, row in meters.items():
            common = {
                "address": None, "port": None, "transport": "hdlc", "client_sap": 1,
                "server_sap": 1, "mechanism": "none", "suite": 0, "timezone": "Europe/Oslo",
                "commissioned_at": LATE if key == SYNTHETIC else EARLY,
            }  # fmt: skip
            lines.write(json.dumps({**common, **row}) + "\n")
    imported = made.run("meter", "import", str(file))
    assert imported.returncode == 0, imported.stderr

    wait_until(lambda: answers_on(api), 30, "the API answers")
    replayed = made.run("sim", "replay", str(captures), "--to", f"127.0.0.1:{inbound}")
    assert replayed.returncode == 0, replayed.stderr

    ids = {row["serial"]: row["id"] for row in get(api, "/v1/meters?limit=1000")["items"]}
    checked = 0
    for key, values in expected.items():
        numbers = {(obis, value) for (obis, _), value in values.items()}
        found = served(api, ids[meters[key]["serial"]])
        if key == SYNTHETIC:
            continue
        assert not numbers - found, key
        assert not found - numbers - texts[key], key
        checked += len(numbers)
    assert checked > 300
    print(f"{checked} numbers of {len(expected)} meters served as the frames hold them")

    quarantined = get(api, "/v1/quarantine?limit=1000")["items"]
    reasons = {item["reason"] for item in quarantined}
    late = [item for item in quarantined if item["meter_serial"] == SYNTHETIC]
    assert late
    assert "before" in late[0]["reason"]
    assert any("key" in reason for reason in reasons)
    assert served(api, ids[SYNTHETIC]) == set()

    # Asked for over the API, done by the collector: rows of any time; no frame without its key.
    closed = next(item for item in quarantined if "key" in item["reason"])
    for item in (*late, closed):
        ask_for_replay(api, item["id"])

    def entries() -> dict[int, Any]:
        return {item["id"]: item for item in get(api, "/v1/quarantine?limit=1000")["items"]}

    wait_until(lambda: entries()[closed["id"]]["said"] is not None, 30, "the collector has tried")
    found_now = entries()
    assert {found_now[item["id"]]["state"] for item in late} == {"replayed"}
    assert (found_now[closed["id"]]["state"], found_now[closed["id"]]["said"]) == (
        "open", closed["reason"],
    )  # fmt: skip
    numbers = {(obis, value) for (obis, _), value in expected[SYNTHETIC].items()}
    assert numbers
    found = served(api, ids[SYNTHETIC])
    assert not numbers - found
    assert not found - numbers - texts[SYNTHETIC]
