"""M-Bus channels: whatever rows say, no two children hang at one and no child at two."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import combinations
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes.meters.attaching import Attaching
from hes.meters.fields import RowError
from hes.storage.mbus import Attachment

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def attachment(child: int, parent: int, channel: int, day: int) -> Attachment:
    return Attachment(
        None,
        UUID(int=100 + parent),
        f"E{parent}",
        channel,
        UUID(int=child),
        f"G{child}",
        BEGIN + timedelta(days=day),
    )


def overlap(one: Attachment, other: Attachment) -> bool:
    never = datetime.max.replace(tzinfo=UTC)
    return one.since < (other.until or never) and other.since < (one.until or never)


_WISHES = st.lists(
    st.tuples(
        st.integers(1, 3), st.integers(1, 2), st.integers(1, 2), st.integers(0, 9), st.booleans()
    ),
    max_size=15,
)


@given(_WISHES)
def test_nothing_ever_hangs_at_two_places_or_two_at_one(
    wishes: list[tuple[int, int, int, int, bool]],
) -> None:
    attaching = Attaching([])
    for child, parent, channel, day, said in wishes:
        before = attaching.result().added
        try:
            attaching.keep(attaching.hang(attachment(child, parent, channel, day), said=said))
        except RowError:
            assert attaching.result().added == before
        for one, other in combinations(attaching.result().added, 2):
            if one.child_id == other.child_id or (one.parent_id, one.channel) == (
                other.parent_id,
                other.channel,
            ):
                assert not overlap(one, other), (one, other)


def test_what_is_stored_is_ended_and_what_is_new_is_added() -> None:
    kept = Attachment(7, UUID(int=101), "E1", 1, UUID(int=1), "G1", BEGIN)
    attaching = Attaching([kept])
    attaching.keep(attaching.hang(attachment(2, 1, 1, 5), said=True))
    result = attaching.result()
    assert result.ended == {7: BEGIN + timedelta(days=5)}
    assert [each.child for each in result.added] == ["G2"]


def test_without_an_instant_nothing_gives_way() -> None:
    attaching = Attaching([attachment(1, 1, 1, 0)])
    with pytest.raises(RowError, match="G1 hangs at channel 1 of E1; with installed_at"):
        attaching.hang(attachment(2, 1, 1, 5), said=False)
