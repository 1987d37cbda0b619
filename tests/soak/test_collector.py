"""
kill -9 of the real collector, with the writer in it, at every statement of the writer's way.

Each is started anew, reads simulated meters, and is killed once PostgreSQL has done the n-th
statement of a batch's transaction, and once just before its COMMIT.
"""

from __future__ import annotations

import time
from pathlib import Path

from hes.services import Postgres
from tests.e2e.test_collection import QUICK, check, fleet
from tests.faults.proxy import Fault, Proxy, When
from tests.faults.test_kills import MOST_STATEMENTS

_PATIENCE_S = 30.0


def test_the_collector_is_killed_at_every_statement(
    tmp_path: Path, postgres_server: Postgres
) -> None:
    proxy = Proxy(postgres_server.url)
    kills = 0
    try:
        with fleet(tmp_path, postgres_server, 5) as made:
            for at in [*range(MOST_STATEMENTS), None]:
                when = When.BEFORE if at is None else When.AFTER
                fault = proxy.arm(Fault(at, when, statements=True))
                collector = made.hes("collect", "dlms", HES_DATABASE_URL=proxy.url, **QUICK)
                fault.harm = collector.kill
                began = time.monotonic()
                while not fault.done.wait(0.05) and time.monotonic() - began < _PATIENCE_S:
                    pass
                if not fault.struck:
                    # A batch has fewer statements: it has none of this number.
                    collector.kill()
                    break
                kills += 1
            proxy.disarm()
            made.hes("collect", "dlms", **QUICK)
            check(tmp_path, postgres_server)
    finally:
        proxy.close()
    print(f"{kills} kills of the collector")
    assert kills > 15
