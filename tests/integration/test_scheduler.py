"""The scheduler on a real database: runs become due items, each once, whoever leads."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from hes.domain.errors import StorageUnavailableError, TemporaryError
from hes.meters import Inventory
from hes.plans.scheduler import LOCK, Leader, SchedulerMetrics, Step, Turns
from hes.plans.steps import Expander, Expiry, clock_set, make_steps
from hes.storage import due_items, due_results
from hes.storage.database import Database
from hes.storage.leadership import Leadership, Turn
from hes.storage.leases import LeaseStore
from tests.integration.clocks import SkewedClock, skewed
from tests.unit.hes_collectors.lease_contracts import done

AddMeter = Callable[..., UUID]
EVERYTHING = """
INSERT INTO plan (tenant_id, name, enabled, priority, reads, all_meters, recurrence, zone,
                  window_s, spread_s, deadline_s, since)
VALUES (1, %s, true, 20, '[{"kind": "profile"}]', true, %s, %s, 3600, %s, 1800,
        now() - make_interval(secs => %s))
RETURNING plan_id
"""


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    with skewed(migrated_url) as opened:
        yield opened


@pytest.fixture
def led(migrated_url: str) -> Iterator[Callable[[], Database]]:
    """Databases with one connection each, for leaders."""
    opened = []

    def connect() -> Database:
        one = Database(skewed_url(migrated_url), max_connections=1)
        opened.append(one)
        return one

    yield connect
    for one in opened:
        one.close()


def skewed_url(url: str) -> str:
    separator = "&" if "?" in url else "?"
    return url + f"{separator}options=-csearch_path%3Dskewed%2Cpublic%2Cpg_catalog"


def add_plan(
    database: Database, *, recurrence: str = "every 3600s", zone: str = "UTC", spread_s: int = 0,
    for_s: float = 3600, name: str = "all",
) -> int:  # fmt: skip
    with database.connection() as connection:
        row = connection.execute(EVERYTHING, (name, recurrence, zone, spread_s, for_s)).fetchone()
    assert row is not None
    return int(row[0])


def rows(database: Database, query: str, *values: object) -> list[tuple[object, ...]]:
    with database.connection() as connection:
        return connection.execute(query.encode(), values).fetchall()


def turns(database: Database) -> Turns:
    leadership = Leadership(database, LOCK)
    return leadership.turn


def test_a_run_becomes_one_item_for_each_member(
    database: Database, led: Callable[[], Database], add_meter: AddMeter
) -> None:
    meter_ids = {add_meter(f"S{n}", address="127.16.0.1", port=4159) for n in range(3)}
    outside = add_meter("S9", address="127.16.0.1", port=4159)
    with database.connection() as connection:
        connection.execute("UPDATE meter SET state = 'suspended' WHERE meter_id = %s", (outside,))
    plan_id = add_plan(database, spread_s=600)
    turn = turns(led())
    assert Expander()(turn) == 3
    items = rows(
        database,
        "SELECT meter_id, due_at - run_at, deadline_at - run_at, expires_at - run_at, priority"
        " FROM due_item WHERE plan_id = %s AND zone = 'UTC'",
        plan_id,
    )
    assert {item[0] for item in items} == meter_ids
    spreads = [item[1] for item in items]
    assert len(set(spreads)) == 3
    assert all(timedelta() <= spread < timedelta(seconds=600) for spread in spreads)  # type: ignore[operator]
    assert {item[2:] for item in items} == {(timedelta(seconds=1800), timedelta(hours=1), 20)}
    assert rows(database, "SELECT plan_id, members, ended_at, skipped FROM plan_run") == [
        (plan_id, 3, None, False)
    ]
    assert Expander()(turn) == 0
    # The lease that comes of it knows what to read.
    [kinds] = {
        tuple(read.kind.value for item in lease.items for read in item.reads)
        for lease in LeaseStore(database).take(holder="a", limit=10, lease_s=60)
        if len(lease.items) == 2
    } or {("profile",)}
    assert kinds == ("profile",)


def test_a_run_that_was_cut_off_half_way_is_made_to_its_end(
    database: Database,
    led: Callable[[], Database],
    inventory: Inventory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who takes over adds what is missing, and not what was done meanwhile."""
    inventory.import_file(
        [
            f'{{"serial":"S{n}","timezone":"UTC","address":"127.16.0.1","port":4159}}'
            for n in range(7)
        ]
    )
    add_plan(database)
    monkeypatch.setattr("hes.storage.plan_runs.PIECE", 2)
    calls = 0
    turn = turns(led())

    def dying() -> object:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise ConnectionResetError
        return turn()

    with pytest.raises(ConnectionResetError):
        Expander()(dying)  # type: ignore[arg-type]
    assert rows(database, "SELECT count(*) FROM due_item WHERE kind = 'plan'") == [(4,)]
    assert rows(database, "SELECT count(*) FROM plan_run") == [(0,)]
    leases = LeaseStore(database)
    finished = [
        done(lease, lease.due_at)
        for lease in leases.take(holder="a", limit=9, lease_s=60)
        if len(lease.items) == 2
    ]
    assert len(finished) == 4
    assert not leases.finish(finished[:3])
    assert Expander()(turn) == 7
    assert rows(database, "SELECT members FROM plan_run") == [(7,)]
    assert rows(database, "SELECT count(*) FROM due_item WHERE kind = 'plan'") == [(4,)]
    assert rows(database, "SELECT count(*) FROM due_result WHERE kind = 'plan'") == [(3,)]


def test_a_run_is_over_when_all_its_items_have_ended(
    database: Database, led: Callable[[], Database], add_meter: AddMeter
) -> None:
    for n in range(3):
        add_meter(f"S{n}", address="127.16.0.1", port=4159)
    add_plan(database)
    turn = turns(led())
    Expander()(turn)
    leases = LeaseStore(database)
    [lease, *_] = leases.take(holder="a", limit=1, lease_s=60)
    assert not leases.finish([done(lease, lease.due_at)])
    look = "SELECT done + late, failed, expired, cancelled, ended_at IS NULL FROM plan_run"
    with turn() as its:
        assert due_results.count_runs(its.connection) == 1
        assert due_results.count_runs(its.connection) == 0
    assert rows(database, look) == [(1, 0, 0, 0, True)]
    SkewedClock(database).set_forward(3601)
    assert Expiry()(turn) == 2
    with turn() as its:
        assert due_results.count_runs(its.connection) == 1
    assert rows(database, look) == [(1, 0, 2, 0, False)]
    causes = rows(database, "SELECT cause FROM due_result WHERE outcome = 'expired'")
    assert causes == [("no-turn",)] * 2


def test_after_a_standstill_only_the_last_run_is_made(
    database: Database, led: Callable[[], Database], add_meter: AddMeter
) -> None:
    """Fault row 37 too: the database's clock goes an hour and more forward, and back again."""
    add_meter("S1", address="127.16.0.1", port=4159)
    add_plan(database, recurrence="every 600s", for_s=600)
    turn = turns(led())
    clock = SkewedClock(database)
    assert Expander()(turn) == 1
    clock.set_forward(4 * 3600)
    assert Expander()(turn) == 1
    counted = rows(database, "SELECT skipped, count(*) FROM plan_run GROUP BY 1 ORDER BY 1")
    assert counted == [(False, 2), (True, 23)]
    clock.set_forward(-4 * 3600)
    expander = Expander()
    assert expander(turn) == 0
    clock.set_forward(600)
    assert expander(turn) == 0  # that run was made, or skipped, when its time seemed to be
    clock.set_forward(4 * 3600)
    assert expander(turn) == 1


def test_runs_are_counted_in_each_sites_zone(
    database: Database, led: Callable[[], Database], add_meter: AddMeter
) -> None:
    add_meter("S1", timezone="Europe/Vienna")
    add_meter("S2", timezone="Asia/Kolkata")
    add_plan(database, recurrence="cron 30 1 * * *", zone="site", for_s=86_400)
    turn = turns(led())
    Expander()(turn)
    made = rows(
        database,
        "SELECT zone, to_char(run_at AT TIME ZONE zone, 'HH24:MI') FROM plan_run ORDER BY zone",
    )
    assert made == [("Asia/Kolkata", "01:30"), ("Europe/Vienna", "01:30")]


def test_when_the_clock_was_set_back_nobody_waits_for_what_has_been(
    database: Database, led: Callable[[], Database], add_meter: AddMeter
) -> None:
    meter_id = add_meter("S1", address="127.16.0.1", port=4159)
    clock = SkewedClock(database)
    clock.set_forward(7200)
    leases = LeaseStore(database)
    [lease] = leases.take(holder="a", limit=1, lease_s=60)
    leases.release([lease])  # waits since then
    other = add_meter("S2", address="127.16.0.1", port=4159)
    [dead] = [
        one
        for one in leases.take(holder="dead", limit=2, lease_s=60)
        if one.meter.meter_id == other
    ]
    leases.release([lease])
    clock.set_forward(-7200)
    leases = LeaseStore(database)
    turn = turns(led())
    clock_set(turn, -7200.0)
    with turn() as its:
        due_items.refresh(its.connection, [meter_id])
    for step in make_steps():
        step.act(turn)
    look = "SELECT leased_until <= now() + interval '15 minutes' FROM due_work WHERE token = %s"
    assert rows(database, look, dead.token) == [(True,)]


def leader(database: Database, *names: str) -> tuple[Leader, Counter[str]]:
    done: Counter[str] = Counter()

    def act(name: str) -> Callable[[Turns], int]:
        def run(turns: Turns) -> int:
            with turns() as turn:
                turn.connection.execute("SELECT 1")
            if name == "broken":
                raise RuntimeError("a bug")
            done[name] += 1
            return 1

        return run

    metrics = SchedulerMetrics(CollectorRegistry())
    steps = [Step(name, 0.0, act(name)) for name in names]
    return Leader(Leadership(database, LOCK, silence_s=20), lambda: steps, metrics), done


def test_one_leads_and_another_when_it_is_gone(led: Callable[[], Database]) -> None:
    first_database, second_database = led(), led()
    first, first_done = leader(first_database, "a", "broken", "b")
    second, second_done = leader(second_database, "a")
    assert first.tick()
    assert not second.tick()
    assert first.tick()
    assert (first_done, second_done) == ({"a": 2, "b": 2}, {})  # a bug holds up no other
    first_database.close()
    wait_until(second.tick)
    assert not first.tick()
    assert second_done == {"a": 1}


def test_who_says_nothing_loses_the_lead_and_writes_nothing_more(
    led: Callable[[], Database],
) -> None:
    """Frozen between two looks, or within a transaction: the server ends the connection."""
    frozen, second = Leadership(led(), LOCK, silence_s=0.5), led()
    other, _ = leader(second, "a")
    with frozen.turn() as turn:
        term = turn.term
    assert not other.tick()
    wait_until(other.tick)
    with pytest.raises(TemporaryError), frozen.turn(term=term):
        pytest.fail("two lead")
    second.close()
    sleeper = Leadership(led(), LOCK, silence_s=0.5)
    third, _ = leader(led(), "a")
    with pytest.raises(StorageUnavailableError), sleeper.turn() as turn:
        sleep_until_taken(third, turn)


def sleep_until_taken(other: Leader, turn: Turn) -> None:
    wait_until(other.tick)
    turn.connection.execute("SELECT 1")


def wait_until(happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_ten_thousand_members_within_a_second_or_two(
    database: Database, led: Callable[[], Database], inventory: Inventory
) -> None:
    inventory.import_file(
        [
            f'{{"serial":"S{n:05}","timezone":"UTC","address":"127.16.0.1","port":4159}}'
            for n in range(10_000)
        ]
    )
    add_plan(database)
    turn = turns(led())
    begun = time.monotonic()
    assert Expander()(turn) == 10_000
    taken_s = time.monotonic() - begun
    print(f"10,000 members in {taken_s:.2f} s")
    assert taken_s < 10
