"""Who does what wrong, and when: by script, by seed, and the same again with the same seed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import attrs
import pytest

from hes_simulators import Identity
from hes_simulators.faults import FAULTS, FaultError, FaultPlan, Meters, Rule, SessionFaults, fault
from hes_simulators.faults.kinds import Fault, ImageOutcome
from hes_simulators.truth import ListJournal

BEGIN = datetime(2026, 11, 21, 12, tzinfo=UTC)


@attrs.define
class Clock:
    at: datetime = BEGIN

    def __call__(self) -> datetime:
        return self.at


def plan(*rules: Rule, seed: int = 1, clock: Clock | None = None) -> FaultPlan:
    made = FaultPlan(seed, clock or Clock())
    for rule in rules:
        made.add(rule)
    return made


def rule(name: str = "refuse", /, **changes: Any) -> Rule:
    return Rule(**{"name": name, "fault": fault(name)} | changes)


def session(of: FaultPlan, index: int = 0) -> tuple[Fault, ...]:
    with of.session(Identity.of(1, index)) as misdeeds:
        return misdeeds.faults


# --- kinds ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAULTS)
def test_every_kind_is_made_of_what_it_says_of_itself(name: str) -> None:
    made = fault(name)
    assert fault(name, made.parameters()) == made
    assert made.name == name
    assert made.__doc__
    for field in attrs.fields(type(made)):
        assert field.metadata["text"]


@pytest.mark.parametrize(
    ("name", "parameters", "code"),
    [
        ("nothing", {}, "unknown-fault"),
        (None, {}, "unknown-fault"),
        (["hang"], {}, "unknown-fault"),
        ("hang", {"blocks": 1}, "unknown-parameter"),
        ("hang", {"answer": -1}, "bad-parameter"),
        ("hang", {"answer": 1.0}, "bad-parameter"),
        ("hang", {"answer": True}, "bad-parameter"),
        ("hang", {"answer": "3"}, "bad-parameter"),
        ("drip", {"every_s": float("nan")}, "bad-parameter"),
        ("latency", {"distribution": "normal"}, "bad-parameter"),
        ("latency", {"distribution": []}, "bad-parameter"),
        ("bomb", {"shape": None}, "bad-parameter"),
    ],
)
def test_what_is_no_fault_is_refused_typed(name: Any, parameters: Any, code: str) -> None:
    with pytest.raises(FaultError) as caught:
        fault(name, parameters)
    assert caught.value.code == code


# --- whose and when ---------------------------------------------------------------------------


def test_by_script_this_meter_from_then_until_then() -> None:
    clock = Clock()
    until = BEGIN + timedelta(minutes=10)
    one = rule(meters=Meters(frozenset({3})), since=BEGIN, until=until)
    there = plan(one, clock=clock)
    assert session(there, 3) == (one.fault,)
    assert session(there, 4) == ()
    clock.at = BEGIN - timedelta(microseconds=1)
    assert session(there, 3) == ()
    clock.at = until - timedelta(microseconds=1)
    assert session(there, 3) == (one.fault,)
    clock.at = until
    assert session(there, 3) == ()


def test_every_nth_session_of_each_meter() -> None:
    there = plan(rule(every=3))
    struck = [bool(session(there, 0)) for _ in range(9)]
    assert struck == [False, False, True] * 3
    assert [bool(session(there, 1)) for _ in range(3)] == [False, False, True]


def test_a_share_of_the_meters_is_the_same_in_any_order_and_another_with_another_seed() -> None:
    def struck(seed: int, order: range) -> set[int]:
        there = plan(rule(meters=Meters(share=0.1)), seed=seed)
        return {index for index in order if session(there, index)}

    first = struck(1, range(2000))
    assert 150 < len(first) < 250
    assert struck(1, range(1999, -1, -1)) == first
    assert struck(2, range(2000)) != first


def test_a_probability_of_sessions_is_the_same_with_the_same_seed() -> None:
    def struck(seed: int) -> list[bool]:
        there = plan(rule(probability=0.25), seed=seed)
        return [bool(session(there)) for _ in range(1000)]

    first = struck(1)
    assert 190 < sum(first) < 310
    assert struck(1) == first != struck(2)


def test_two_rules_of_the_same_chance_strike_apart() -> None:
    there = plan(rule("hang", probability=0.5), rule("drip", probability=0.5))
    met = {tuple(one.name for one in session(there)) for _ in range(100)}
    assert met == {(), ("hang",), ("drip",), ("hang", "drip")}


def test_the_last_rule_for_a_kind_counts_and_a_name_is_used_once() -> None:
    early = Rule(name="a", fault=fault("hang", {"answer": 1}))
    late = Rule(name="b", fault=fault("hang", {"answer": 2}))
    there = plan(early, late)
    assert session(there) == (late.fault,)
    there.add(attrs.evolve(early, fault=fault("hang", {"answer": 7})))
    assert [one.name for one in there] == ["b", "a"]
    there.remove("a")
    with pytest.raises(FaultError):
        there.remove("a")
    there.clear()
    assert session(there) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"every": 0},
        {"probability": 1.5},
        {"since": datetime(2026, 1, 1)},
    ],
    ids=str,
)
def test_a_rule_that_means_nothing_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(FaultError):
        rule(**changes)
    with pytest.raises(FaultError):
        Meters(share=2)


def test_connections_of_a_meter_are_counted_while_they_last() -> None:
    there = plan(rule("one-session"))
    meter, other = Identity.of(1, 0), Identity.of(1, 1)
    with there.session(meter) as first, there.session(other) as elsewhere:
        assert not first.refuses
        assert not elsewhere.refuses
        with there.session(meter) as second:
            assert second.refuses
    with there.session(meter) as later:
        assert not later.refuses


def test_each_struck_session_stands_in_the_journal() -> None:
    journal = ListJournal()
    there = FaultPlan(1, Clock(), journal)
    session(there)
    there.add(rule("hang", every=2))
    for _ in range(4):
        session(there, 5)
    notes = journal.of("fault")
    assert [(note.serial, note.facts["session"]) for note in notes] == [
        ("HES00000006", 2),
        ("HES00000006", 4),
    ]
    assert notes[0].facts["parameters"] == {"answer": 3}


def test_without_rules_a_session_costs_nothing_that_lasts() -> None:
    there = plan()
    found: set[int] = set()
    for index in range(100):
        with there.session(Identity.of(1, index)) as misdeeds:
            assert isinstance(misdeeds, SessionFaults)
            found.add(id(misdeeds))
    assert len(found) == 1
    assert not there._open
    assert not there._sessions


# --- pushes -----------------------------------------------------------------------------------


def pushed(there: FaultPlan, count: int, index: int = 0) -> list[bytes]:
    found: list[bytes] = []
    for number in range(count):
        found += there.pushes(Identity.of(1, index), b"%d" % number)
    return found


def test_pushes_go_as_they_are_twice_or_after_others() -> None:
    assert pushed(plan(), 3) == [b"0", b"1", b"2"]
    twice = plan(Rule(name="d", fault=fault("duplicate-push", {"copies": 3})))
    assert pushed(twice, 2) == [b"0"] * 3 + [b"1"] * 3
    overtaken = plan(Rule(name="r", fault=fault("reorder-push", {"behind": 2})))
    assert pushed(overtaken, 6) == [b"1", b"2", b"0", b"4", b"5", b"3"]


def test_a_push_that_was_kept_back_comes_also_when_the_fault_has_gone() -> None:
    there = plan(rule("reorder-push"))
    assert pushed(there, 1) == []
    there.clear()
    assert there.pushes(Identity.of(1, 0), b"next") == (b"next", b"0")
    assert there.pushes(Identity.of(1, 0), b"last") == (b"last",)


def test_pushes_of_one_meter_do_not_wait_for_those_of_another() -> None:
    there = plan(rule("reorder-push"))
    assert pushed(there, 1, index=0) == []
    assert pushed(there, 1, index=1) == []
    assert there.pushes(Identity.of(1, 0), b"a") == (b"a", b"0")


# --- clocks -----------------------------------------------------------------------------------


def us(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def test_a_clock_jumps_and_drifts_until_it_is_set() -> None:
    hour = timedelta(hours=1)
    there = plan(
        Rule(name="jump", fault=fault("clock-jump", {"seconds": 90}), since=BEGIN + hour),
        Rule(name="drift", fault=fault("clock-drift", {"seconds_per_day": -24})),
        clock=Clock(),
    )
    gained = there.clock_gained_us
    assert gained(0, None, us(BEGIN)) == 0
    assert gained(0, None, us(BEGIN + hour) - 1) == -900_000  # a tick of 0.1 s is not over
    assert gained(0, None, us(BEGIN + hour)) == -1_000_000
    assert gained(0, us(BEGIN + hour), us(BEGIN + hour) + 1) == 90_000_000
    # Set right at two hours: what it gained before is gone, the drift goes on.
    assert gained(0, us(BEGIN + 2 * hour), us(BEGIN + 5 * hour)) == -3_000_000
    # In whatever parts it is asked, the parts add up.
    moments = [us(BEGIN + n * timedelta(minutes=7)) for n in range(30)]
    parts = sum(gained(0, a, b) for a, b in pairwise(moments))
    assert parts == gained(0, moments[0], moments[-1])


def test_drift_ends_with_its_rule_and_keeps_to_its_meters() -> None:
    drift = fault("clock-drift", {"seconds_per_day": 86_400})
    until = BEGIN + timedelta(seconds=10)
    there = plan(Rule(name="d", fault=drift, until=until, meters=Meters(frozenset({1}))))
    assert there.clock_gained_us(1, None, us(BEGIN + timedelta(hours=1))) == 10_000_000
    assert there.clock_gained_us(0, None, us(BEGIN + timedelta(hours=1))) == 0


# --- firmware ---------------------------------------------------------------------------------


def test_five_per_cent_of_activations_fail_by_the_seed() -> None:
    def failed(seed: int) -> list[int]:
        there = plan(rule("image-activation", fault=fault("image-activation")), seed=seed)
        return [n for n in range(2000) if there.image_outcome(Identity.of(1, n), 1) is not None]

    assert 70 < len(failed(1)) < 130
    assert failed(1) == failed(1) != failed(2)
    old = fault("image-activation", {"outcome": "old-version", "share": 1})
    there = plan(rule("image-activation", fault=old))
    assert there.image_outcome(Identity.of(1, 0), 1) is ImageOutcome.OLD_VERSION
    there.clear()
    assert there.image_outcome(Identity.of(1, 0), 2) is None
