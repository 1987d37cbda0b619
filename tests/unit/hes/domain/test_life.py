"""The life of a meter as a table: what may follow what."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes.domain.life import FIRST, TRANSITIONS, BadTransitionError, MeterState, step

S = MeterState
states = st.sampled_from(MeterState)


def test_every_state_has_a_row_and_none_leads_to_itself() -> None:
    assert set(TRANSITIONS) == set(MeterState)
    assert all(state not in following for state, following in TRANSITIONS.items())


@given(st.sampled_from(sorted(FIRST)), st.lists(states, max_size=12))
def test_lives_keep_what_the_states_promise(first: MeterState, wishes: list[MeterState]) -> None:
    """Whatever is wished for, a life goes on only by steps of the table."""
    lived = [first]
    for wanted in wishes:
        try:
            changed = step(lived[-1], wanted)
        except BadTransitionError as error:
            assert wanted not in TRANSITIONS[lived[-1]]
            assert (error.state, error.wanted) == (lived[-1], wanted)
            continue
        if changed:
            lived.append(wanted)
    for before, after in itertools.pairwise(lived):
        assert before is not after
        # Who was seen first is ours at some time, and never a stranger again.
        assert after is not S.DISCOVERED
        # Nobody is read who was taken away, or locked out of quarantine into silence only.
        assert before is not S.RETIRED or after is S.COMMISSIONED


@given(states, st.integers(1, 6))
def test_every_state_can_be_left_and_service_reached(state: MeterState, steps: int) -> None:
    reached = {state}
    for _ in range(steps):
        reached |= {after for before in reached for after in TRANSITIONS[before]}
    assert steps < 2 or S.IN_SERVICE in reached
    assert steps < 2 or S.RETIRED in reached


def test_asking_twice_changes_once_and_a_refusal_says_what_is_allowed() -> None:
    assert step(S.IN_SERVICE, S.SUSPENDED) is True
    assert step(S.SUSPENDED, S.SUSPENDED) is False
    with pytest.raises(BadTransitionError, match="retired cannot become in_service, only: comm"):
        step(S.RETIRED, S.IN_SERVICE)
