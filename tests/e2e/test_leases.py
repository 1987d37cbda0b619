"""
Several collectors and schedulers as processes of their own: killed, frozen, woken up too late.

Fault rows 17, 35 and 36: nothing is lost, nothing is done twice, nobody talks to one meter while
somebody else does; and another scheduler leads within seconds.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import psycopg

from hes.services import Postgres
from tests.e2e.system import Process, System, wait_until
from tests.e2e.test_collection import METERS, QUICK, check, count, fleet

_HELD = "SELECT count(*) FROM due_work WHERE leased_until IS NOT NULL AND holder LIKE %s"
_LATEST_TOKEN = "SELECT coalesce(max(token), 0) FROM due_work"
# A run's item of a meter ends once, and is not open any more then.
_TWICE = """
SELECT count(*) FROM (
    SELECT meter_id, plan_id, run_at FROM due_result WHERE kind = 'plan'
    UNION ALL SELECT meter_id, plan_id, run_at FROM due_item WHERE kind = 'plan'
) AS each GROUP BY meter_id, plan_id, run_at HAVING count(*) > 1
"""
_AT_ONCE = """
SELECT count(*) FROM session AS one JOIN session AS other USING (meter_id)
WHERE one.session_id < other.session_id
  AND one.started_at < other.ended_at AND other.started_at < one.ended_at
  AND 'lease-lost' NOT IN (coalesce(one.cause, ''), coalesce(other.cause, ''))
"""


def value(server: Postgres, query: str, *values: object) -> int:
    with psycopg.connect(server.url) as connection:
        row = connection.execute(query.encode(), values).fetchone()
    return 0 if row is None else int(row[0])


def held(server: Postgres, process: Process) -> int:
    """How many leases a collector holds."""
    return value(server, _HELD, f"%:{process.popen.pid}")


def check_once(server: Postgres) -> None:
    """No item ended twice, and no meter had two sessions at once."""
    assert value(server, _TWICE) == 0
    assert value(server, _AT_ONCE) == 0


def collect(made: System) -> Process:
    """One more collector."""
    return made.hes("collect", "dlms", **QUICK, HES_COLLECTOR_LISTEN_PORT="0")


def test_collectors_killed_in_the_midst_lose_and_double_nothing(
    tmp_path: Path, postgres_server: Postgres
) -> None:
    """Fault row 35: kill -9 after a random 0 to 5 s, three times; the other one takes over."""
    chances = random.Random(35)
    with fleet(tmp_path, postgres_server, 5) as made:
        collect(made)
        for _ in range(3):
            victim = collect(made)
            wait_until(lambda victim=victim: held(postgres_server, victim) > 0, 30, "it works")  # type: ignore[misc]
            time.sleep(chances.uniform(0, 5))
            victim.kill()
        wait_until(lambda: count(postgres_server) >= METERS * 4 * 96, 60, "a day of each meter")
        check(tmp_path, postgres_server)
        check_once(postgres_server)


def test_a_collector_that_wakes_up_too_late_writes_nothing(
    tmp_path: Path, postgres_server: Postgres
) -> None:
    """Fault rows 17 and 36: frozen past its leases; the meters are another's when it wakes up."""
    with fleet(tmp_path, postgres_server, 6) as made:
        zombie = collect(made)
        wait_until(lambda: frozen_in_sessions(postgres_server, zombie), 30, "it is in sessions")
        before = value(postgres_server, _LATEST_TOKEN)
        collect(made)
        wait_until(lambda: not held(postgres_server, zombie), 40, "the leases are another's")
        assert value(postgres_server, _LATEST_TOKEN) > before
        os.kill(zombie.popen.pid, signal.SIGCONT)
        wait_until(lambda: held(postgres_server, zombie) > 0, 30, "it goes on with others")
        check(tmp_path, postgres_server)
        check_once(postgres_server)
        assert zombie.running
        assert "Traceback" not in zombie.log.read_text()


def test_another_scheduler_leads_within_seconds(tmp_path: Path, postgres_server: Postgres) -> None:
    """Killed; frozen and woken up: runs go on, and each is made once."""
    quick = {"HES_SCHEDULE_SILENCE_S": "3", "HES_SCHEDULE_TICK_S": "0.3"}
    with fleet(tmp_path, postgres_server, 7) as made:
        [first] = [process for process in made.started if process.name == "schedule"]
        wait_until(lambda: leads(first), 60, "the first leads")
        collect(made)
        second, third = made.hes("schedule", **quick), made.hes("schedule", **quick)
        wait_until(lambda: runs_made(postgres_server) > 1, 60, "runs are made")
        assert not leads(second)
        assert not leads(third)
        first.kill()
        took_s = wait_until(lambda: leads(second) or leads(third), 30, "another leads")
        leader, other = (second, third) if leads(second) else (third, second)
        os.kill(leader.popen.pid, signal.SIGSTOP)
        frozen_s = wait_until(lambda: leads(other), 30, "the last one leads")
        os.kill(leader.popen.pid, signal.SIGCONT)
        wait_until(lambda: "scheduler_lead_lost" in leader.log.read_text(), 30, "it knows")
        runs = runs_made(postgres_server)
        wait_until(lambda: runs_made(postgres_server) > runs, 60, "runs go on")
        print(f"lead taken {took_s:.1f} s after kill -9, {frozen_s:.1f} s after SIGSTOP")
        assert took_s < 10
        assert frozen_s < 10
        check_once(postgres_server)


def frozen_in_sessions(server: Postgres, collector: Process) -> bool:
    """Freeze a collector; let it go on if it had no session just then."""
    os.kill(collector.popen.pid, signal.SIGSTOP)
    if held(server, collector):
        return True
    os.kill(collector.popen.pid, signal.SIGCONT)
    return False


def runs_made(server: Postgres) -> int:
    return value(server, "SELECT count(*) FROM plan_run WHERE NOT skipped")


def leads(process: Process) -> bool:
    return "scheduler_lead_taken" in process.log.read_text()
