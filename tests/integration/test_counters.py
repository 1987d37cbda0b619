"""Invocation counters: no pair of key and counter is given out twice, none is accepted twice."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from random import Random
from uuid import UUID, uuid4

import pytest

from hes.domain.errors import (
    CounterReplayedError,
    KeyUnavailableError,
    PermanentError,
    UnknownMeterError,
)
from hes.domain.ports import CounterBlock
from hes.keys import KeyService
from hes.storage.counters import COUNTER_MAX, WINDOW, CounterStore
from hes.storage.database import Database
from hes.storage.epochs import BURST, RATE_PER_S

AddMeter = Callable[..., UUID]

EK = "00" * 16
OTHER_EK = "11" * 16
AK = "22" * 16


@pytest.fixture
def counters(database: Database) -> CounterStore:
    return CounterStore(database)


@pytest.fixture
def meter_id(add_meter: AddMeter) -> UUID:
    return add_meter("S1", ek=EK, ak=AK)


def test_blocks_follow_each_other_from_one_on(counters: CounterStore, meter_id: UUID) -> None:
    assert counters.reserve(meter_id, 1, size=100) == CounterBlock(1, 100)
    assert counters.reserve(meter_id, 1, size=1) == CounterBlock(101, 101)
    assert counters.reserve(meter_id, 1, size=10) == CounterBlock(102, 111)


def test_meters_that_share_a_key_share_its_counters(
    counters: CounterStore, meter_id: UUID, add_meter: AddMeter
) -> None:
    twin = add_meter("S2", ek=EK, ak=AK)
    other = add_meter("S3", ek=OTHER_EK, ak=AK)
    assert counters.reserve(meter_id, 1, size=5) == CounterBlock(1, 5)
    assert counters.reserve(twin, 1, size=5) == CounterBlock(6, 10)
    assert counters.reserve(other, 1, size=5) == CounterBlock(1, 5)


def test_a_key_that_comes_back_goes_on_where_it_stopped(
    counters: CounterStore, meter_id: UUID, add_meter: AddMeter
) -> None:
    counters.reserve(meter_id, 1, size=7)
    add_meter("S1", ek=OTHER_EK, ak=AK)
    assert counters.reserve(meter_id, 1, size=1) == CounterBlock(1, 1)
    add_meter("S1", ek=EK, ak=AK)
    assert counters.reserve(meter_id, 1, size=1) == CounterBlock(8, 8)


def counted_to(database: Database, counter: int) -> None:
    """As if the key had been counting for years."""
    with database.connection() as connection:
        connection.execute(
            "UPDATE own_counter SET reserved_to = %s, spent = 0 WHERE hinted_to IS NULL", (counter,)
        )


def test_wrap_is_refused_and_wastes_nothing(
    counters: CounterStore, meter_id: UUID, database: Database
) -> None:
    counters.reserve(meter_id, 1, size=1)
    counted_to(database, COUNTER_MAX - 2)
    with pytest.raises(PermanentError, match="change the key"):
        counters.reserve(meter_id, 1, size=3)
    assert counters.reserve(meter_id, 1, size=2) == CounterBlock(COUNTER_MAX - 1, COUNTER_MAX)
    with pytest.raises(PermanentError, match="change the key"):
        counters.reserve(meter_id, 1, size=1)


@pytest.mark.parametrize("size", [0, -1, COUNTER_MAX + 1])
def test_sizes_that_are_none_are_our_bug(counters: CounterStore, meter_id: UUID, size: int) -> None:
    with pytest.raises(ValueError, match="counters"):
        counters.reserve(meter_id, 1, size=size)


def test_a_key_counts_no_faster_than_can_be_leapt_over_after_a_restore(
    counters: CounterStore, meter_id: UUID, add_meter: AddMeter, database: Database
) -> None:
    assert counters.reserve(meter_id, 1, size=BURST - 10).last == BURST - 10
    for too_far in ({"size": 5000}, {"size": 64, "above": BURST + 5000}):
        with pytest.raises(PermanentError, match="too fast"):
            counters.reserve(meter_id, 1, **too_far)
    # Ten seconds later.
    with database.connection() as connection:
        connection.execute("UPDATE own_counter SET counted_at = counted_at - interval '10 s'")
    top = counters.reserve(meter_id, 1, size=RATE_PER_S * 10, above=BURST - 5).last
    assert top == BURST - 5 + RATE_PER_S * 10
    with pytest.raises(PermanentError, match="too fast"):
        counters.reserve(meter_id, 1, size=1000, above=0)
    # What is given out below a leap was paid for with it.
    assert counters.reserve(meter_id, 1, size=4).last == BURST - 6
    # Neither a first leap nor a first block goes further.
    fresh = add_meter("S2", ek=OTHER_EK, ak=AK)
    for too_far in ({"size": BURST + 1}, {"size": 64, "above": BURST}):
        with pytest.raises(PermanentError, match="too fast"):
            counters.reserve(fresh, 1, **too_far)
    assert counters.reserve(fresh, 1, size=64, above=BURST - 64).last == BURST


def test_without_a_key_there_is_nothing_to_count(
    counters: CounterStore, meter_id: UUID, add_meter: AddMeter
) -> None:
    plain = add_meter("S2")
    for who, client_sap in ((plain, 1), (meter_id, 2), (uuid4(), 1)):
        with pytest.raises(KeyUnavailableError):
            counters.reserve(who, client_sap, size=1)


def test_a_key_that_was_changed_meanwhile_gets_no_counters(
    counters: CounterStore, keys: KeyService, meter_id: UUID, add_meter: AddMeter
) -> None:
    """A session that holds the old key must not use it with the counters of the new one."""
    held = keys.secrets(meter_id, 1).key_fingerprint
    assert counters.reserve(meter_id, 1, size=5, key_fingerprint=held) == CounterBlock(1, 5)
    add_meter("S1", ek=OTHER_EK, ak=AK)
    with pytest.raises(KeyUnavailableError):
        counters.reserve(meter_id, 1, size=5, key_fingerprint=held)
    now_kept = keys.secrets(meter_id, 1).key_fingerprint
    assert counters.reserve(meter_id, 1, size=5, key_fingerprint=now_kept) == CounterBlock(1, 5)


def overlaps(blocks: Sequence[CounterBlock]) -> bool:
    ordered = sorted(blocks, key=lambda block: block.first)
    return any(before.last >= after.first for before, after in pairwise(ordered))


def test_threads_never_get_the_same_counter(
    counters: CounterStore, meter_id: UUID, add_meter: AddMeter
) -> None:
    twin = add_meter("S2", ek=EK, ak=AK)
    with ThreadPoolExecutor(8) as threads:
        blocks = list(
            threads.map(
                lambda i: counters.reserve((meter_id, twin)[i % 2], 1, size=1 + i % 7), range(200)
            )
        )
    assert not overlaps(blocks)
    assert max(block.last for block in blocks) == sum(1 + i % 7 for i in range(200))


def reserve_many(url: str, meter_id: UUID, times: int) -> list[tuple[int, int]]:
    with Database(url) as database:
        counters = CounterStore(database)
        blocks = [counters.reserve(meter_id, 1, size=3) for _ in range(times)]
    return [(block.first, block.last) for block in blocks]


def test_processes_never_get_the_same_counter(migrated_url: str, meter_id: UUID) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as processes:
        reserved = processes.starmap(reserve_many, [(migrated_url, meter_id, 100)] * 2)
    blocks = [CounterBlock(*block) for part in reserved for block in part]
    assert len(blocks) == 200
    assert not overlaps(blocks)
    assert max(block.last for block in blocks) == 600


def test_accepts_each_once_and_none_below_the_window(
    counters: CounterStore, meter_id: UUID
) -> None:
    assert counters.last_accepted(meter_id, 1) is None
    for counter in (0, 1, 23, COUNTER_MAX):
        counters.accept(meter_id, 1, counter)
        assert counters.last_accepted(meter_id, 1) == counter
    for counter, seen in ((COUNTER_MAX, True), (23, False), (0, False)):
        with pytest.raises(CounterReplayedError) as caught:
            counters.accept(meter_id, 1, counter)
        assert caught.value.seen is seen
    assert counters.last_accepted(meter_id, 1) == COUNTER_MAX


def test_whatever_comes_in_any_order_is_accepted_like_by_the_book(
    counters: CounterStore, meter_id: UUID
) -> None:
    random = Random(7)
    highest, accepted = -1, set[int]()
    for _ in range(600):
        counter = max(0, highest + random.choice((-WINDOW, -WINDOW - 1, 0, 1, 2, 700, WINDOW, 3000))
                      + random.randrange(-5, 6))  # fmt: skip
        fine = counter not in accepted and counter > highest - WINDOW
        try:
            counters.accept(meter_id, 1, counter)
        except CounterReplayedError as error:
            assert not fine
            assert error.seen == (counter > highest - WINDOW)
        else:
            assert fine
            accepted.add(counter)
            highest = max(highest, counter)
    assert counters.last_accepted(meter_id, 1) == highest


def test_of_a_counter_from_before_the_window_all_below_count_as_accepted(
    counters: CounterStore, meter_id: UUID, database: Database
) -> None:
    with database.connection() as connection:
        connection.execute("UPDATE association SET accepted_counter = 50")
    for counter in (50, 49, 0):
        with pytest.raises(CounterReplayedError):
            counters.accept(meter_id, 1, counter)
    counters.accept(meter_id, 1, 52)
    for counter in (52, 50, 49):
        with pytest.raises(CounterReplayedError):
            counters.accept(meter_id, 1, counter)
    counters.accept(meter_id, 1, 51)


def test_of_threads_that_accept_one_counter_one_may(counters: CounterStore, meter_id: UUID) -> None:
    def accept(_: int) -> bool:
        try:
            counters.accept(meter_id, 1, 5)
        except CounterReplayedError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(accept, range(32))) == 1


def test_unknown_associations_are_named(counters: CounterStore, meter_id: UUID) -> None:
    for who, client_sap in ((meter_id, 2), (uuid4(), 1)):
        with pytest.raises(UnknownMeterError):
            counters.last_accepted(who, client_sap)
        with pytest.raises(UnknownMeterError):
            counters.accept(who, client_sap, 1)


@pytest.mark.parametrize("counter", [-1, COUNTER_MAX + 1])
def test_counters_that_are_none_are_our_bug(
    counters: CounterStore, meter_id: UUID, counter: int
) -> None:
    with pytest.raises(ValueError, match="counter"):
        counters.accept(meter_id, 1, counter)
    with pytest.raises(ValueError, match="counter"):
        counters.keep(meter_id, 1, counter)


def test_replacing_a_meter_keeps_its_counter_as_long_as_key_and_title_stay(
    counters: CounterStore, meter_id: UUID, add_meter: AddMeter
) -> None:
    counters.accept(meter_id, 1, 9)
    add_meter("S1", ek=EK, ak=AK, model="x")
    assert counters.last_accepted(meter_id, 1) == 9
    counters.accept(meter_id, 1, 8)
    add_meter("S1", ek=EK, ak=AK, model="y")
    with pytest.raises(CounterReplayedError):
        counters.accept(meter_id, 1, 8)
    add_meter("S1", ek=EK, ak=AK, system_title="4845530000000001")
    assert counters.last_accepted(meter_id, 1) == 9
    add_meter("S1", ek=EK, ak=AK, system_title="4845530000000001", client_sap=2)
    assert counters.last_accepted(meter_id, 2) == 9
    add_meter("S1", ek=EK, ak=AK, system_title="4845530000000002", client_sap=2)
    assert counters.last_accepted(meter_id, 2) is None
    counters.accept(meter_id, 2, 9)
    add_meter("S1", ek=OTHER_EK, ak=AK, system_title="4845530000000002", client_sap=2)
    assert counters.last_accepted(meter_id, 2) is None


def fingerprint(keys: KeyService, meter_id: UUID) -> bytes:
    found = keys.secrets(meter_id, 1).key_fingerprint
    assert found is not None
    return found


# --- hints ------------------------------------------------------------------------------------


@pytest.mark.conformance("counter-bootstrap", "client")
def test_a_block_above_a_hint_leaves_the_regular_counting_where_it_was(
    counters: CounterStore, meter_id: UUID
) -> None:
    assert counters.highest_reserved(meter_id, 1) is None
    assert counters.reserve(meter_id, 1, size=4, above=1000) == CounterBlock(1001, 1004)
    assert counters.highest_reserved(meter_id, 1) is None
    assert counters.reserve(meter_id, 1, size=10) == CounterBlock(1, 10)
    assert counters.highest_reserved(meter_id, 1) == 10
    # The same hint again, or a lower one: what was given out is not given out again.
    assert counters.reserve(meter_id, 1, size=4, above=1000) == CounterBlock(1005, 1008)
    assert counters.reserve(meter_id, 1, size=4, above=3) == CounterBlock(1009, 1012)
    assert counters.reserve(meter_id, 1, size=1) == CounterBlock(11, 11)


@pytest.mark.conformance("counter-bootstrap", "client")
def test_a_leap_that_was_right_is_kept(counters: CounterStore, meter_id: UUID) -> None:
    counters.reserve(meter_id, 1, size=5)
    block = counters.reserve(meter_id, 1, size=4, above=1000)
    for no_such in (5, 1000, 1005):
        counters.keep(meter_id, 1, no_such)
        assert counters.highest_reserved(meter_id, 1) == 5
    counters.keep(meter_id, 1, block.first)
    assert counters.highest_reserved(meter_id, 1) == 1004
    assert counters.reserve(meter_id, 1, size=2) == CounterBlock(1005, 1006)
    counters.keep(meter_id, 1, block.first)
    assert counters.highest_reserved(meter_id, 1) == 1006


def test_the_regular_counting_leaps_over_what_was_given_out_on_a_hint(
    counters: CounterStore, meter_id: UUID
) -> None:
    counters.reserve(meter_id, 1, size=10, above=100)  # 101..110
    assert counters.reserve(meter_id, 1, size=95) == CounterBlock(1, 95)
    assert counters.reserve(meter_id, 1, size=5) == CounterBlock(96, 100)
    assert counters.reserve(meter_id, 1, size=5) == CounterBlock(111, 115)
    counters.reserve(meter_id, 1, size=10, above=200)
    assert counters.reserve(meter_id, 1, size=100) == CounterBlock(211, 310)


def test_hints_up_to_the_end_are_refused_and_waste_nothing(
    counters: CounterStore, meter_id: UUID, database: Database
) -> None:
    counters.reserve(meter_id, 1, size=1)
    counted_to(database, COUNTER_MAX - 1000)
    for above in (COUNTER_MAX, COUNTER_MAX - 3):
        with pytest.raises(PermanentError, match="change the key"):
            counters.reserve(meter_id, 1, size=4, above=above)
    block = counters.reserve(meter_id, 1, size=4, above=COUNTER_MAX - 4)
    assert block.last == COUNTER_MAX
    with pytest.raises(PermanentError, match="change the key"):
        counters.reserve(meter_id, 1, size=1, above=0)
    assert counters.reserve(meter_id, 1, size=4).last == COUNTER_MAX - 996
    with pytest.raises(ValueError, match="counter"):
        counters.reserve(meter_id, 1, size=4, above=-1)


def test_a_hint_for_another_key_moves_nothing(
    counters: CounterStore, keys: KeyService, meter_id: UUID, add_meter: AddMeter
) -> None:
    old = fingerprint(keys, meter_id)
    counters.reserve(meter_id, 1, size=4, above=100, key_fingerprint=old)
    add_meter("S1", ek=OTHER_EK, ak=AK)
    with pytest.raises(KeyUnavailableError):
        counters.reserve(meter_id, 1, size=4, above=100, key_fingerprint=old)
    counters.keep(meter_id, 1, 101, key_fingerprint=old)
    assert counters.highest_reserved(meter_id, 1) is None
    assert counters.highest_reserved(meter_id, 1, key_fingerprint=old) is None
    add_meter("S1", ek=EK, ak=AK)
    counters.keep(meter_id, 1, 101, key_fingerprint=old)
    assert counters.highest_reserved(meter_id, 1) == 104


def test_no_counter_is_given_out_twice_whatever_hints_come(
    counters: CounterStore, meter_id: UUID, add_meter: AddMeter
) -> None:
    """Hints, right and wrong, from threads, for two meters that share a key."""
    twin = add_meter("S2", ek=EK, ak=AK)

    def use(number: int) -> CounterBlock:
        random = Random(number)
        who = (meter_id, twin)[number % 2]
        hint = random.choice((None, None, random.randrange(3000)))
        block = counters.reserve(who, 1, size=random.randrange(1, 40), above=hint)
        assert hint is None or block.first > hint
        if random.random() < 0.3:
            counters.keep(who, 1, random.choice((block.first, block.last, block.last + 1)))
        return block

    with ThreadPoolExecutor(8) as threads:
        blocks = list(threads.map(use, range(400)))
    assert not overlaps(blocks)


# --- the meter's counter belongs to its key -----------------------------------------------------


def test_a_frame_under_the_key_from_before_does_not_raise_the_new_keys_counter(
    counters: CounterStore, keys: KeyService, meter_id: UUID, add_meter: AddMeter
) -> None:
    """Users-ask, point 7: after a key change the meter counts from below."""
    old = fingerprint(keys, meter_id)
    counters.accept(meter_id, 1, 90_000, key_fingerprint=old)
    add_meter("S1", ek=OTHER_EK, ak=AK)
    new = fingerprint(keys, meter_id)
    # A push that was verified just before the key was changed comes here just after.
    with pytest.raises(KeyUnavailableError):
        counters.accept(meter_id, 1, 90_001, key_fingerprint=old)
    with pytest.raises(KeyUnavailableError):
        counters.last_accepted(meter_id, 1, key_fingerprint=old)
    assert counters.last_accepted(meter_id, 1, key_fingerprint=new) is None
    counters.accept(meter_id, 1, 1, key_fingerprint=new)
    assert counters.last_accepted(meter_id, 1) == 1


def test_what_was_accepted_under_a_key_that_comes_back_is_not_accepted_again(
    counters: CounterStore, meter_id: UUID, add_meter: AddMeter
) -> None:
    for counter in (500, 498):
        counters.accept(meter_id, 1, counter)
    add_meter("S1", ek=OTHER_EK, ak=AK)
    counters.accept(meter_id, 1, 3)
    add_meter("S1", ek=EK, ak=AK)
    assert counters.last_accepted(meter_id, 1) == 500
    for counter in (500, 498):
        with pytest.raises(CounterReplayedError):
            counters.accept(meter_id, 1, counter)
    counters.accept(meter_id, 1, 499)
    counters.accept(meter_id, 1, 501)
    add_meter("S1", ek=OTHER_EK, ak=AK)
    assert counters.last_accepted(meter_id, 1) == 3
    add_meter("S1", ek=EK, ak=AK, system_title="4845530000000001")  # the title becomes known
    assert counters.last_accepted(meter_id, 1) == 501
    counters.accept(meter_id, 1, 507)
    add_meter("S1", ek=EK, ak=AK, system_title="4845530000000002")  # another device
    counters.accept(meter_id, 1, 2)
    add_meter("S1", ek=EK, ak=AK, system_title="4845530000000001")
    assert counters.last_accepted(meter_id, 1) == 507
