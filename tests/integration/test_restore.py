"""The drill: back up, go on, destroy, restore to a point in time, start. Nothing is used twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from click.testing import CliRunner

from hes import wiring
from hes.cli.backup import backup as backup_command
from hes.cli.restore import restore as restore_command
from hes.domain.errors import CounterReplayedError, StorageUnavailableError
from hes.domain.ports import CounterBlock
from hes.domain.readings import ReadingBatch, microseconds
from hes.keys import KeyService
from hes.lifecycle import backup as backups
from hes.lifecycle.backup import BackupError
from hes.meters import Inventory
from hes.services import Postgres
from hes.storage import epochs, marks
from hes.storage.counters import CounterStore
from hes.storage.database import Database
from hes.storage.epochs import BURST
from hes.storage.features import reconcile
from hes.storage.identity import own_system_title
from hes.storage.leases import LeaseStore
from hes.storage.migrations import migrate
from tests.batches import DAY, LOAD_PROFILE, add_meters, later, open_bus, profile
from tests.restoring import Drill

AK = "22" * 16


@pytest.fixture
def drill(postgres_factory: Callable[[], Postgres], tmp_path: Path) -> Drill:
    server = postgres_factory()
    server.start()
    # Not below pytest's own folder: the server's user must reach it.
    made = Drill(server, tmp_path)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name.startswith("pytest-"):
            folder.chmod(0o755)
    tmp_path.chmod(0o755)
    made.begin()
    return made


@pytest.fixture
def database(drill: Drill) -> Iterator[Database]:
    with Database(drill.server.url, wait_s=20) as opened:
        migrate(opened)
        reconcile(opened)
        yield opened


def add_keyed(database: Database, kek: Path, serial: str, ek: str) -> UUID:
    inventory = Inventory(database, KeyService.open(database, kek))
    row = {
        "serial": serial, "timezone": "UTC", "ek": ek, "ak": AK, "mechanism": "gmac",
        "address": "127.0.0.1", "port": 4059,
    }  # fmt: skip
    report = inventory.import_file([json.dumps(row)])
    assert not report.errors, report.errors
    return inventory.find(serial)


Values = dict[tuple[UUID, str, int], int]


def rows(database: Database) -> Values:
    """Every stored value by what people address."""
    with database.connection() as connection:
        found = connection.execute(
            "SELECT meter_id, encode(obis, 'hex'), captured_at, value"
            " FROM reading JOIN series USING (series_id) JOIN channel USING (channel_id)"
        ).fetchall()
    values = {(meter, obis, microseconds(at)): value for meter, obis, at, value in found}
    assert len(values) == len(found)
    return values


def said(*batches: ReadingBatch) -> Values:
    values: Values = {}
    for one in batches:
        rows = one.integers
        for index, at, value in zip(
            rows.series_index.tolist(), rows.captured_at.tolist(), rows.value.tolist(), strict=True
        ):
            key = one.series[index].channel
            values[key.meter_id, key.obis.octets.hex(), at] = value
    return values


def revisions(database: Database) -> int:
    with database.connection() as connection:
        row = connection.execute("SELECT count(*) FROM reading_revision").fetchone()
    assert row is not None
    return int(row[0])


def disjoint(blocks: Sequence[CounterBlock]) -> bool:
    ordered = sorted(blocks, key=lambda block: block.first)
    return all(a.last < b.first for a, b in pairwise(ordered))


def test_after_a_restore_to_a_point_in_time_nothing_is_used_or_stored_twice(
    drill: Drill, database: Database, tmp_path: Path
) -> None:
    counters, leases = CounterStore(database), LeaseStore(database)
    meters = add_meters(database, 6)
    keyed = add_keyed(database, tmp_path / "kek", "K1", "11" * 16)
    title = own_system_title(database)
    used = [counters.reserve(keyed, 1, size=64)]
    before = profile(meters[:4], intervals=8)
    meanwhile = profile(meters[:4], start=later(DAY, 8), intervals=8, offset=8)
    lost = profile([meters[5]], start=later(DAY, 8), intervals=16)
    other = profile([meters[4]], start=later(DAY, 8), intervals=16)
    again = profile(meters[:4], start=later(DAY, 16), intervals=8, offset=16)

    with open_bus(database) as bus:  # one process, which lives through all of it
        bus.publish(before)
        backup = drill.back_up()
        assert backups.verify(backup.folder, programs=drill.server.bin_folder) == backup

        bus.publish(meanwhile)
        used.append(counters.reserve(keyed, 1, size=64))
        counters.accept(keyed, 1, 500)
        drill.mark("before the accident")

        # All of this is lost.
        bus.publish(lost)
        bus.publish(again)
        used += [counters.reserve(keyed, 1, size=64) for _ in range(3)]
        leap = counters.reserve(keyed, 1, size=64, above=500_000)
        counters.keep(keyed, 1, leap.first)
        used += [leap, counters.reserve(keyed, 1, size=64)]
        new_key = add_keyed(database, tmp_path / "kek", "K2", "33" * 16)
        used_by_new = [counters.reserve(new_key, 1, size=64) for _ in range(2)]
        (taken, *_) = leases.take(holder="before", limit=2, lease_s=60)

        drill.destroy()
        with pytest.raises(StorageUnavailableError):
            Database(drill.server.url, wait_s=0.1).connection().__enter__()
        drill.restore(backup, "before the accident")
        assert rows(database) == said(before, meanwhile)

        # Ours: above all that was used, for keys that are known, and for those that are not.
        used.append(counters.reserve(keyed, 1, size=64))
        assert disjoint(used)
        assert used[-1].first > max(block.last for block in used[:-1])
        assert own_system_title(database) == title
        new_key = add_keyed(database, tmp_path / "kek", "K2", "33" * 16)
        used_by_new.append(counters.reserve(new_key, 1, size=64))
        assert disjoint(used_by_new)
        assert used_by_new[-1].first > 2 * BURST
        # The meter's: what was accepted before the point stays accepted.
        with pytest.raises(CounterReplayedError):
            counters.accept(keyed, 1, 500)
        tokens = [lease.token for lease in leases.take(holder="after", limit=9, lease_s=60)]
        assert tokens
        assert min(tokens) > taken.token

        # Marks are those of the point: from there meters are read again, and nothing is doubled.
        with database.connection() as connection:
            found = marks.select(connection, meters)
        assert {mark.meter_id: mark.captured_at for mark in found} == dict.fromkeys(
            meters[:4], later(DAY, 15)
        )
        # A meter takes the numbers of the series that those of the lost one had.
        assert bus.publish(other).stored == 64
        receipt = bus.publish(again)
        assert (receipt.stored, receipt.duplicates) == (128, 0)
        receipt = bus.publish(profile(meters[:4], intervals=24))
        assert (receipt.stored, receipt.duplicates, receipt.revised) == (0, 384, 0)
        assert bus.publish(lost).stored == 64
    assert rows(database) == said(before, meanwhile, again, other, lost)
    assert revisions(database) == 0
    with database.connection() as connection:
        reasons = connection.execute("SELECT reason FROM database_epoch ORDER BY epoch_id")
        assert [reason for (reason,) in reasons] == ["first", "moved"]
    assert found[0].source == LOAD_PROFILE


def test_a_backup_that_is_merely_started_shows_it_too(
    drill: Drill, database: Database, tmp_path: Path
) -> None:
    """Copied in place, without archive or settings: the likeliest mistake."""
    keyed = add_keyed(database, tmp_path / "kek", "K1", "11" * 16)
    counters = CounterStore(database)
    counters.reserve(keyed, 1, size=64)
    backup = drill.back_up()
    lost = [counters.reserve(keyed, 1, size=64) for _ in range(5)]
    drill.destroy()
    drill.restore(backup, None)
    assert epochs.look(database).moved
    assert counters.reserve(keyed, 1, size=64).first > lost[-1].last


def test_a_second_attempt_comes_out_above_the_first(
    drill: Drill, database: Database, tmp_path: Path
) -> None:
    """To an earlier point, where less was known to have been counted."""
    keyed = add_keyed(database, tmp_path / "kek", "K1", "11" * 16)
    counters = CounterStore(database)
    counters.reserve(keyed, 1, size=64)
    backup = drill.back_up()
    drill.mark("early")
    leap = counters.reserve(keyed, 1, size=64, above=10_000_000)
    counters.keep(keyed, 1, leap.first)
    drill.mark("late")
    drill.destroy()
    drill.restore(backup, "late")
    first = [counters.reserve(keyed, 1, size=64) for _ in range(3)]
    drill.mark("the first attempt is archived")
    drill.destroy()
    drill.restore(backup, "early")
    assert counters.reserve(keyed, 1, size=64).first > first[-1].last


def test_a_crash_is_no_restore(drill: Drill, database: Database, tmp_path: Path) -> None:
    keyed = add_keyed(database, tmp_path / "kek", "K1", "11" * 16)
    counters = CounterStore(database)
    assert counters.reserve(keyed, 1, size=64) == CounterBlock(1, 64)
    drill.server.kill()
    drill.server.start()
    assert counters.reserve(keyed, 1, size=64) == CounterBlock(65, 128)


def test_the_commands_make_verify_and_finish(
    drill: Drill, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyed = add_keyed(database, tmp_path / "kek", "K1", "11" * 16)
    counters = CounterStore(database)
    last = counters.reserve(keyed, 1, size=64).last
    monkeypatch.setenv("HES_DATABASE_URL", drill.server.url)
    monkeypatch.setenv("HES_BACKUP_URL", drill.server.admin_url)
    monkeypatch.setenv("HES_DATA", str(tmp_path / "data"))
    wiring.settings.cache_clear()
    runner, to = CliRunner(), tmp_path / "made"
    programs = ["--programs", str(drill.server.bin_folder)]
    try:
        create = ["create", "--to", str(to), *programs, "-o", "json"]
        assert runner.invoke(backup_command, [*create, "--dry-run"]).exit_code == 0
        assert not to.exists()
        made = runner.invoke(backup_command, create)
        assert made.exit_code == 0, made.output
        (row,) = json.loads(made.stdout)
        folder = Path(row["folder"])
        assert [path.name for path in to.iterdir()] == [folder.name]
        verified = runner.invoke(backup_command, ["verify", str(folder), *programs, "-o", "json"])
        assert json.loads(verified.stdout) == [row]
        # The password is in no file of the backup but the server's own roles.
        password = psycopg.conninfo.conninfo_to_dict(drill.server.admin_url)["password"]
        assert not any(
            str(password).encode() in file.read_bytes()
            for file in folder.rglob("*")
            if file.is_file()
        )

        broken = folder / "data" / "PG_VERSION"
        broken.write_text("99\n")
        with pytest.raises(BackupError, match="PG_VERSION"):
            runner.invoke(
                backup_command, ["verify", str(folder), *programs], catch_exceptions=False
            )
        broken.unlink()
        with pytest.raises(BackupError, match="PG_VERSION"):
            backups.verify(folder, programs=drill.server.bin_folder)

        status = runner.invoke(restore_command, ["status", "-o", "json"])
        assert json.loads(status.stdout)[0]["moved"] is False
        told = ["finish", "--known-until", "2026-01-01T00:00:00Z", "-o", "json"]
        planned = json.loads(runner.invoke(restore_command, [*told, "--dry-run"]).stdout)
        assert planned[0]["leap"] > 2 * BURST
        assert epochs.look(database).known == planned[0]["known"]
        (done,) = json.loads(runner.invoke(restore_command, told).stdout)
        assert done["reason"] == "restored"
        assert counters.reserve(keyed, 1, size=64).first == last + done["leap"] + 1
    finally:
        wiring.settings.cache_clear()


def test_a_server_that_is_away_or_a_wrong_folder_is_said(drill: Drill, tmp_path: Path) -> None:
    url = drill.server.admin_url
    drill.server.stop()
    with pytest.raises(StorageUnavailableError):
        backups.create(url, tmp_path / "b", programs=drill.server.bin_folder, now=later(DAY, 0))
    assert list((tmp_path / "b").iterdir()) == []
    with pytest.raises(BackupError, match="no backup of ours"):
        backups.verify(tmp_path, programs=drill.server.bin_folder)
    with pytest.raises(BackupError, match="cannot be run"):
        backups.create(url, tmp_path / "c", programs=tmp_path, now=later(DAY, 0))
