"""The installation's own system title: one per database, for ever."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
from prometheus_client import CollectorRegistry

from hes import wiring
from hes.pipeline import DirectBus
from hes.settings import CollectorSettings, Settings
from hes.storage.database import Database
from hes.storage.identity import own_system_title
from hes.storage.migrations import migrate

if TYPE_CHECKING:
    from tests.conftest import Databases


def test_a_title_is_made_once(database: Database) -> None:
    with ThreadPoolExecutor(8) as threads:
        titles = set(threads.map(lambda _: own_system_title(database), range(16)))
    [title] = titles
    assert len(title) == 8
    assert title.startswith(b"HEH")
    assert own_system_title(database) == title


def test_a_fresh_database_has_another_one(database: Database, databases: Databases) -> None:
    """Its counters begin at 1, and the meters may have been another's."""
    url = databases.create()
    with Database(url) as fresh:
        migrate(fresh)
        assert own_system_title(fresh) != own_system_title(database)
    databases.drop(url)


def test_the_collector_uses_it_unless_it_is_told_another(
    database: Database, tmp_path: Path
) -> None:
    def title(chosen: Settings) -> bytes:
        with DirectBus(database) as sink:
            context = wiring.dlms_collector(database, sink, chosen, CollectorRegistry())
        return context.settings.system_title

    by_default = Settings(data=str(tmp_path))
    assert title(by_default) == own_system_title(database)
    told = attrs.evolve(by_default, collector=CollectorSettings(system_title="4845480000000001"))
    assert title(told) == bytes.fromhex("4845480000000001")
