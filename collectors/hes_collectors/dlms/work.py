"""
From what is due on a meter to the steps of one session. Pure.

Two items that want the same are served by one step: whoever has missed a run of a plan does not
read the same profile twice. Order: what is urgent; gaps, the oldest first (a meter's buffer
overwrites them first); profiles by their deadline; registers; billing; event logs; power quality.
The clock is no step: every session looks at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Final

import attrs

from hes.domain.kinds import profile_kind
from hes.domain.meters import MeterKnowledge
from hes.domain.work import Attribute, DueItem, Gap, Priority, Read, ReadKind, WorkKind
from hes_protocol.cosem import Obis


class StepKind(IntEnum):
    """What a step does; the values are their order."""

    GAP = 1
    PROFILE = 2
    REGISTERS = 3
    BILLING = 4
    EVENTS = 5
    POWER_QUALITY = 6


_STEPS: Final = {
    ReadKind.PROFILE: StepKind.PROFILE,
    ReadKind.REGISTERS: StepKind.REGISTERS,
    ReadKind.BILLING: StepKind.BILLING,
    ReadKind.EVENTS: StepKind.EVENTS,
    ReadKind.POWER_QUALITY: StepKind.POWER_QUALITY,
}
# Kinds that one profile or log after the other is read of.
_BY_SOURCE: Final = frozenset({ReadKind.PROFILE, ReadKind.BILLING, ReadKind.EVENTS})
FIRST_READS: Final = (Read(ReadKind.PROFILE),)
"""What is read of a meter that was put in service, before any plan comes to it."""


@attrs.frozen
class Step:
    """
    One thing to ask of a meter, committed before the next one begins.

    `source` is the profile or log; None for registers and power quality.
    `attributes`: the registers, empty: all. `deadline_at`, `priority`: the earliest, the most
    urgent of the items that it serves, `item_ids`.
    """

    kind: StepKind
    source: Obis | None
    item_ids: frozenset[int]
    deadline_at: datetime
    priority: int = Priority.NORMAL
    attributes: tuple[Attribute, ...] = ()
    gap: Gap | None = None


@attrs.frozen
class StepOutcome:
    """
    How a step ended to which the meter has answered.

    Args:
        refused: the cause for which the meter does not give what was asked; None: it did.
        complete: all of it is committed; False: more waits than this session has time for.
        note: what a served item keeps as its cause though it is done (`not-in-buffer`).
    """

    refused: str | None = None
    complete: bool = True
    note: str | None = None


SERVED: Final = StepOutcome()


def steps(items: Sequence[DueItem], knowledge: MeterKnowledge) -> tuple[Step, ...]:
    """
    What to ask of a meter, in order; nothing for an item that wants what the meter does not have.

    Args: items: due on it. knowledge: what is known of it, once it was explored.
    """
    merged: dict[tuple[object, ...], Step] = {}
    for wanted in (step for item in items for step in _of(item, knowledge)):
        key = (wanted.kind, wanted.source, wanted.attributes, wanted.gap)
        known = merged.get(key)
        merged[key] = wanted if known is None else _joined(known, wanted)
    return tuple(sorted(merged.values(), key=_place))


def sources(knowledge: MeterKnowledge, kind: ReadKind) -> tuple[Obis, ...]:
    """The profiles and logs of a kind that a meter is known to have."""
    return tuple(
        profile.obis
        for profile in knowledge.profiles
        if profile_kind(profile.obis, profile.capture_period_s) is kind
    )


def _of(item: DueItem, knowledge: MeterKnowledge) -> Iterator[Step]:
    """The steps of one item by itself."""
    bare = Step(
        StepKind.GAP, None, frozenset({item.item_id}), item.deadline_at, priority=item.priority
    )
    if item.gap is not None:
        yield attrs.evolve(bare, source=item.gap.source, gap=item.gap)
    for read in FIRST_READS if item.kind is WorkKind.FIRST else item.reads:
        for source in _sources(read, knowledge):
            yield attrs.evolve(
                bare, kind=_STEPS[read.kind], source=source, attributes=read.attributes
            )


def _sources(read: Read, knowledge: MeterKnowledge) -> Iterable[Obis | None]:
    if read.source is not None or read.attributes or read.kind not in _BY_SOURCE:
        return (read.source,)
    return sources(knowledge, read.kind)


def _joined(one: Step, other: Step) -> Step:
    return attrs.evolve(
        one,
        item_ids=one.item_ids | other.item_ids,
        deadline_at=min(one.deadline_at, other.deadline_at),
        priority=min(one.priority, other.priority),
    )


def _place(step: Step) -> tuple[object, ...]:
    when = step.deadline_at if step.gap is None else step.gap.start
    return (
        step.priority > Priority.URGENT,
        step.kind,
        when,
        b"" if step.source is None else step.source.octets,
        step.attributes,
    )
