"""Who of those that are due is taken, where segments have limits."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from hes.domain.ports import Limits
from hes.storage.lease_choice import Candidate, Room

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SEGMENTS = ("a", "b", "c")


def candidates(segments: list[str | None]) -> list[Candidate]:
    return [
        Candidate(UUID(int=place), segment, NOW + timedelta(seconds=place))
        for place, segment in enumerate(segments)
    ]


def test_the_smallest_limit_counts() -> None:
    limits = Limits(per_segment=5, segments={"a": 4, "b": 9}, shut=frozenset({"c"}))
    room = Room.of(limits, {"a": 3, "b": None}, {"a": 1, "c": 1})
    taken = room.choose(candidates(["a", "b", "c", "d", None] * 10), 50)
    counted = Counter(candidate.segment for candidate in taken)
    assert counted == {"a": 2, "b": 5, "d": 5, None: 10}
    assert room.full == ["a", "b", "c", "d"]
    assert not Room.of(limits, {}, {}).unlimited
    assert Room.of(Limits(), {}, {"a": 7}).unlimited
    assert Room.of(Limits(shut=frozenset({"c"})), {}, {}).unlimited  # the others are


@given(
    st.lists(st.sampled_from([*SEGMENTS, None]), max_size=40),
    st.integers(0, 20),
    st.none() | st.integers(0, 5),
    st.dictionaries(st.sampled_from(SEGMENTS), st.integers(0, 8)),
    st.dictionaries(st.sampled_from(SEGMENTS), st.integers(0, 8)),
)
def test_nobody_is_passed_over_for_whom_there_is_room(
    segments: list[str | None],
    limit: int,
    per_segment: int | None,
    maxima: dict[str, int],
    running: dict[str, int],
) -> None:
    waiting = candidates(segments)
    room = Room.of(Limits(per_segment=per_segment), maxima, running)
    taken = room.choose(waiting, limit)
    # As whoever counts with his fingers.
    left, expected = dict(running), []
    for candidate in waiting:
        name = candidate.segment
        told = [each for each in (per_segment, maxima.get(name or "")) if each is not None]
        fits = name is None or not told or left.get(name, 0) < min(told)
        if fits and len(expected) < limit:
            expected.append(candidate)
            left[name or ""] = left.get(name or "", 0) + 1
    assert list(taken) == expected
