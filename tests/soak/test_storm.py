"""
1,000 kills of the writing process, PostgreSQL and Redis, and of PostgreSQL at every statement.

As many as HES_SOAK_KILLS says, however long it takes (some 0.8 s each). Prints seed and figures.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from hes.services import Postgres, Redis
from tests.faults.conftest import own_redis, own_server
from tests.faults.proxy import When
from tests.faults.storm import Storm, percentile
from tests.faults.test_kills import MOST_STATEMENTS, kill_server_at

KILLS = int(os.environ.get("HES_SOAK_KILLS", "1000"))

__all__ = ["own_redis", "own_server"]


def test_a_thousand_kills(own_server: Postgres, own_redis: Redis, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    with Storm(own_server, own_redis, tmp_path / "journal", random.Random(seed)) as storm:
        while storm.kills.total() < KILLS:
            storm.kill_at_random()
        rows = storm.check()
    print(f"{dict(storm.kills)}: 0 lost, 0 doubled, {rows} rows checked")
    for name in sorted({name for name, _ in storm.recoveries_s}):
        took_s = [seconds for one, seconds in storm.recoveries_s if one == name]
        told = ", ".join(f"p{share} {percentile(took_s, share / 100):.2f}" for share in (50, 99))
        print(f"recovery in s, {name}: {told}, slowest {max(took_s):.2f} of {len(took_s)}")
    overall = percentile([seconds for _, seconds in storm.recoveries_s], 0.99)
    print(f"p99 of all: {overall:.2f} s")
    assert overall < 10.0


@pytest.mark.parametrize("when", [When.BEFORE, When.AFTER])
def test_postgresql_is_killed_at_every_statement(
    own_server: Postgres,
    tmp_path: Path,
    when: When,
) -> None:
    kills = kill_server_at(own_server, tmp_path / "journal", when, every=1)
    print(f"{kills} kills")
    assert 20 < kills < MOST_STATEMENTS
