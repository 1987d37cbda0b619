"""
kill -9 of the collector and of PostgreSQL at random moments, as long as `make soak DURATION=` says.

Afterwards every row that a meter captured is stored once, and nothing else is. The seed is printed.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from hes.services import Postgres
from tests.e2e.test_collection import QUICK, check, fleet

SECONDS = float(os.environ.get("HES_SOAK_SECONDS", "30"))


def test_random_kills_lose_and_double_nothing(tmp_path: Path, postgres_server: Postgres) -> None:
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    kills = {"collector": 0, "postgresql": 0}
    with fleet(tmp_path, postgres_server, 4) as made:
        collector = made.hes("collect", "dlms", **QUICK)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(chance.uniform(0.5, 6))
            if chance.random() < 0.6:
                collector.kill()
                kills["collector"] += 1
                collector = made.hes("collect", "dlms", **QUICK)
            else:
                postgres_server.kill()
                kills["postgresql"] += 1
                postgres_server.start()
        check(tmp_path, postgres_server)
    print(f"seed {seed}: {kills}")
