"""
Keeps a database of today with data in it, so that later migrations are tested from it.

`python -m tests.older_dump` fills an empty database through the code as it is and writes it to
`tests/integration/older/NNNN.sql`, NNNN being the last migration. Run it once when a release is
made; what it wrote is never changed. The secrets in it are made up, and wrapped by `KEK`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

from hes.domain.ports import SessionOutcome, SessionPhase, SessionReport
from hes.domain.readings import SourceKind, ValueStore
from hes.keys import KeyService
from hes.meters import Inventory
from hes.services import database_service
from hes.storage.counters import CounterStore
from hes.storage.database import Database
from hes.storage.migrations import shipped
from hes.storage.sessions import SessionStore
from hes_protocol.cosem import Obis
from tests.batches import DAY, NOW, QUARTER_S, batch, channel, open_bus, open_database, profile
from tests.batches import series as series_of

KEK = bytes(range(32))
OLDER = Path(__file__).parent / "integration" / "older"
TEXT = Obis.parse("0.0.96.1.0.255")
FLOAT = Obis.parse("1.0.32.7.0.255")

METERS = (
    {
        "serial": "OLD1",
        "system_title": "48455300000000a1",
        "address": "127.16.0.1",
        "mechanism": "gmac",
        "ek": "00112233445566778899aabbccddeeff",
        "ak": "ffeeddccbbaa99887766554433221100",
    },
    {
        "serial": "OLD2",
        "address": "127.16.0.2",
        "port": 4060,
        "transport": "hdlc",
        "mechanism": "lls",
        "secret": "3030303030303030",
        "model": "hes-household",
    },
    {"serial": "OLD3", "timezone": "Asia/Tokyo", "peer": "10.1.0.0/16"},
)
_SKIPPED = re.compile(
    r"^(\\(un)?restrict .*|SET transaction_timeout = 0;|CREATE SCHEMA public;|--.*)?\n",
    re.MULTILINE,
)


@contextlib.contextmanager
def kek_file() -> Iterator[Path]:
    """The file of the key that wraps the secrets in what is kept."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kek"
        path.write_bytes(KEK)
        path.chmod(0o600)
        yield path


def fill(database: Database, kek: Path) -> None:
    """Put something into every table that the code writes, through the code that writes it."""
    keys = KeyService.open(database, kek)
    inventory = Inventory(database, keys)
    rows = [
        {"timezone": "Europe/Vienna", "commissioned_at": "2026-01-01T00:00:00Z", **row}
        for row in METERS
    ]
    report = inventory.import_file([json.dumps(row) for row in rows])
    assert report.created == len(METERS), report.errors
    meters = [inventory.find(str(row["serial"])) for row in METERS]
    counters = CounterStore(database)
    counters.reserve(meters[0], 1, size=100)
    counters.accept(meters[0], 1, 4711)
    SessionStore(database).record(
        SessionReport(
            uuid4(), meters[0], False, NOW, NOW + timedelta(seconds=3), SessionPhase.DONE,
            SessionOutcome.OK, None, 1000, 2000,
        )
    )  # fmt: skip
    with open_bus(database) as bus:
        bus.publish(profile(meters[:2], start=DAY))
        bus.publish(profile(meters[:1], start=DAY, intervals=4, offset=5))
        bus.publish(_others(meters[2]))
        bus.publish(profile([uuid4()], start=DAY, intervals=2))


def _others(meter: UUID) -> object:
    text = series_of(channel(meter, TEXT, source=None, store=ValueStore.TEXT), 0, 255)
    voltage = series_of(channel(meter, FLOAT, source=None, store=ValueStore.FLOAT), 0, 35)
    rows = [(text, NOW - timedelta(seconds=QUARTER_S), "A"), (voltage, NOW, 230.5)]
    return batch(rows, kind=SourceKind.PUSH)


def main() -> None:
    """Write the file."""
    servers = Path(os.environ.get("HES_DATA") or ".hes") / "servers"
    path = OLDER / f"{shipped()[-1].number:04}.sql"
    with (
        tempfile.TemporaryDirectory() as folder,
        database_service(Path(folder), servers=servers, durable=False, report=print) as service,
        open_database(service.url, hypertables=False) as database,
        kek_file() as kek,
    ):
        fill(database, kek)
        [dump] = servers.glob("pgsql-*/usr/lib/postgresql/*/bin/pg_dump")
        written = subprocess.run(
            [dump, "--inserts", "--rows-per-insert=100", "--no-owner", "--no-privileges",
             "--schema=public", service.url],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
    path.write_text(_SKIPPED.sub("", written))
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
