"""`hes quarantine`: data on stdout, chatter on stderr, exit codes."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest
from click.testing import CliRunner

from hes import wiring
from hes.cli.quarantine import quarantine
from hes.domain.ports import Sender
from hes.keys import KeyService
from hes.meters import Inventory
from hes.pipeline import DirectBus
from hes.storage.database import Database
from hes.storage.features import reconcile
from hes.storage.inbound import InboundStore
from tests.batches import EVIDENCE, batch, channel, series
from tests.unit.hes_collectors.pushes import METER_TITLE, ciphered, wrapped
from tests.unit.hes_collectors.support import AK, EK

RECEIVED = datetime(2026, 11, 20, 12, tzinfo=UTC)
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
WHY = ("--why", "the clock was wrong")


@attrs.frozen
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Hes = Callable[..., Outcome]


@pytest.fixture
def hes(
    database: Database, migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hes]:
    """Run `hes quarantine …` in this process."""
    reconcile(database)
    monkeypatch.setenv("HES_DATABASE_URL", migrated_url)
    monkeypatch.setenv("HES_DATA", str(tmp_path))
    wiring.settings.cache_clear()

    def run(*arguments: str) -> Outcome:
        result = CliRunner().invoke(quarantine, arguments, catch_exceptions=False)
        return Outcome(result.exit_code, result.stdout, result.stderr)

    yield run
    wiring.settings.cache_clear()


@pytest.fixture
def meter(database: Database, tmp_path: Path) -> UUID:
    inventory = Inventory(database, KeyService.open(database, tmp_path / "kek"))
    row = {"serial": "S1", "timezone": "UTC", "commissioned_at": "2026-01-01T00:00:00Z"}
    assert not inventory.import_file([json.dumps(row)], on_existing="error").errors
    return inventory.find("S1")


def refuse_rows(database: Database, meter: UUID, at: datetime = LONG_AGO) -> None:
    with DirectBus(database) as bus:
        assert bus.publish(batch([(series(channel(meter)), at, 7)])).quarantined == 1


def keep_frame(database: Database, raw: bytes = b"frame") -> None:
    InboundStore(database).quarantine(
        Sender(ip_address("192.0.2.1"), METER_TITLE), "unknown-meter", raw,
        meter_id=None, received_at=RECEIVED,
    )  # fmt: skip


def test_what_is_there_is_listed_and_shown(hes: Hes, database: Database, meter: UUID) -> None:
    refuse_rows(database, meter)
    keep_frame(database)
    frame, rows = hes("ls", "-o", "json").json
    assert (frame["id"], frame["identity"], frame["octets"]) == (2, METER_TITLE.hex(), 5)
    assert (rows["id"], rows["reason"], rows["meter"]) == (1, "before_window", "S1")
    for arguments, ids in (
        (("--reason", "unknown-meter"), [2]),
        (("--meter", "S1"), [1]),
        (("--since", (RECEIVED + timedelta(seconds=1)).isoformat()), [1]),
        (("--state", "dropped"), []),
        (("--limit", "1"), [2]),
    ):
        assert [row["id"] for row in hes("ls", *arguments, "-o", "json").json] == ids
    assert "more than 1" in hes("ls", "--limit", "1").err
    shown = hes("show", "1", "-o", "json").json
    assert shown["raw"] == EVIDENCE.hex()
    (row,) = shown["refused"]
    assert (row["captured_at"], row["obis"], row["value"]) == (
        "2001-01-01T00:00:00Z", "1.0.1.8.0.255", 7,
    )  # fmt: skip
    table = hes("show", "1").out
    assert EVIDENCE.hex() in table
    assert "1.0.1.8.0.255" in table
    assert hes("show", "1", "-o", "csv").out.count("\n") == 2


def test_rows_are_replayed_as_the_operator_says(hes: Hes, database: Database, meter: UUID) -> None:
    refuse_rows(database, meter)
    refused = hes("replay", "1", *WHY, "-o", "json")
    assert (refused.code, refused.json[0]["outcome"]) == (1, "refused")
    assert hes("ls", "-o", "json").json[0]["said"] == "before_window"
    dry = hes("replay", "--meter", "S1", "--any-time", "--dry-run", *WHY, "-o", "json")
    assert (dry.code, dry.json[0]["stored"]) == (0, 1)
    assert "nothing was done" in dry.err
    done = hes("replay", "1", "--any-time", *WHY, "-o", "json")
    assert (done.code, done.json[0]["outcome"], done.json[0]["stored"]) == (0, "replayed", 1)
    (entry,) = hes("ls", "--state", "replayed", "-o", "json").json
    assert (entry["handled_by"], entry["handled_why"]) == (getpass.getuser(), WHY[1])
    assert hes("replay", "1", *WHY).code == 1


def test_a_frame_is_replayed_once_its_meter_is_known(
    hes: Hes, database: Database, tmp_path: Path
) -> None:
    """With the keys of the inventory and the counters of the database."""
    keep_frame(database, wrapped(ciphered(7)))
    assert hes("replay", "1", *WHY, "-o", "json").json[0]["said"] == "unknown-meter"
    row = {
        "serial": "S1", "timezone": "UTC", "commissioned_at": "2026-01-01T00:00:00Z",
        "system_title": METER_TITLE.hex(), "mechanism": "gmac", "ek": EK.hex(), "ak": AK.hex(),
    }  # fmt: skip
    inventory = Inventory(database, KeyService.open(database, tmp_path / "kek"))
    assert not inventory.import_file([json.dumps(row)], on_existing="error").errors
    done = hes("replay", "--all", *WHY, "-o", "json")
    assert (done.code, done.json[0]["stored"]) == (0, 2)
    with database.connection() as connection:
        kept = connection.execute("SELECT accepted_counter FROM association").fetchall()
        received = connection.execute("SELECT received_at FROM batch").fetchall()
        at = connection.execute("SELECT DISTINCT captured_at FROM reading").fetchall()
    assert (kept, received, at) == ([(7,)], [(RECEIVED,)], [(RECEIVED,)])
    keep_frame(database, wrapped(ciphered(7)))
    again = hes("replay", "--all", *WHY, "-o", "json")
    assert (again.code, again.json[0]["stored"]) == (0, 2)
    with database.connection() as connection:
        assert connection.execute("SELECT count(*) FROM batch").fetchone() == (1,)


def test_entries_are_dropped(hes: Hes, database: Database, meter: UUID) -> None:
    for _ in range(3):
        keep_frame(database)
    refuse_rows(database, meter)
    assert hes("drop", "1", "--dry-run", *WHY).code == 0
    assert hes("drop", "1", *WHY).code == 0
    partly = hes("drop", "1", "2", *WHY, "-o", "json")
    assert (partly.code, [row["outcome"] for row in partly.json]) == (3, ["refused", "dropped"])
    assert hes("drop", "--reason", "unknown-meter", *WHY).code == 0
    assert [row["id"] for row in hes("ls", "-o", "json").json] == [4]
    assert hes("drop", "1", "--dry-run", *WHY).code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("drop", "1"),
        ("drop", *WHY),
        ("replay", *WHY),
        ("replay", "1", "--all", *WHY),
        ("replay", "1", "--why", " "),
        ("ls", "--since", "yesterday"),
        ("show", "x"),
    ],
)
def test_what_makes_no_sense_is_refused(hes: Hes, arguments: tuple[str, ...]) -> None:
    assert hes(*arguments).code == 2
