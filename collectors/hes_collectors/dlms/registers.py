"""
Registers as they stand now: all that a meter's object list shows, or those that a plan names.

Owns which attributes these are, when what they say was so, and what a refused one means: it harms
no other. Scaler and unit are learnt once and kept, and so is that an attribute is not for us: it is
not asked for again before the meter is explored anew. What a register says of its own capture time
(extended and demand registers) stamps its value; all others are stamped with the time of receipt.

Source: IEC 62056-6-2, class_id 3 (register), 4 (extended register: capture_time 5), 5 (demand
register: current_average 2, last_average 3, capture_time 6).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from hes.domain.kinds import is_power_quality
from hes.domain.meters import MeterKnowledge, Scale
from hes.domain.ports import SessionPhase
from hes.domain.work import Attribute
from hes_collectors.dlms.asking import Asker
from hes_collectors.dlms.learning import scale_of, scales
from hes_collectors.dlms.profiles import cause
from hes_collectors.dlms.talk import Talk
from hes_collectors.dlms.work import Step, StepKind, StepOutcome
from hes_protocol.cosem import CaptureObject
from hes_protocol.cosem.objects import Attribute as Wanted
from hes_protocol.errors import EncodingError, LimitError
from hes_protocol.push import PushValue, instant
from hes_protocol.xdlms import GetDataResult
from hes_protocol.xdlms.results import DataAccessResult

# The values of registers by class_id, and of some of them the attribute that says when it was so.
_VALUES: Final = {3: (2,), 4: (2,), 5: (2, 3)}
_CAPTURE_TIMES: Final = {(4, 2): 5, (5, 3): 6}
_AT_ONCE: Final = 32
_MOST: Final = 1000
# What will be refused again as long as the meter is the same.
_FOR_GOOD: Final = frozenset(
    {
        DataAccessResult.READ_WRITE_DENIED,
        DataAccessResult.OBJECT_UNDEFINED,
        DataAccessResult.OBJECT_CLASS_INCONSISTENT,
        DataAccessResult.OBJECT_UNAVAILABLE,
        DataAccessResult.TYPE_UNMATCHED,
        DataAccessResult.SCOPE_OF_ACCESS_VIOLATED,
    }
)


async def read_registers(talk: Talk, step: Step) -> StepOutcome:
    """
    Read registers and commit what they say, some dozens at a time.

    Raises: as `Exchange.ask`, and what storage raises.
    """
    wanted = step.attributes or tuple(
        one
        for one in registers(talk.knowledge)
        if step.kind is not StepKind.POWER_QUALITY or is_power_quality(one.obis)
    )
    return await _Reading(talk).read(wanted[:_MOST])


def registers(knowledge: MeterKnowledge) -> Iterator[Attribute]:
    """The values of all registers that a meter shows."""
    for one in knowledge.objects:
        for index in _VALUES.get(one.class_id, ()):
            yield Attribute(one.class_id, one.obis, index)


class _Reading:
    """One reading of registers in a session."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._asker = Asker(talk.exchange, talk.knowledge.link)
        self._scales = {one.attribute: one for one in talk.knowledge.scales}

    async def read(self, wanted: Sequence[Attribute]) -> StepOutcome:
        refused = {
            one: cause
            for one in wanted
            if (known := self._scales.get(one)) and (cause := known.refused)
        }
        asked = [one for one in wanted if one not in refused]
        complete = True
        for first in range(0, len(asked), _AT_ONCE):
            if not (complete := self._talk.go_on()):
                break
            refused |= await self._some(asked[first : first + _AT_ONCE])
        await self._remember()
        if wanted and len(refused) == len(wanted):
            return StepOutcome(refused=next(iter(refused.values())))
        return StepOutcome(complete=complete, note=next(iter(refused.values()), None))

    async def _some(self, wanted: Sequence[Attribute]) -> dict[Attribute, str]:
        """Read and commit some registers; returns why others gave nothing."""
        await self._learn_scales(wanted)
        timed = [one for one in wanted if (one.class_id, one.attribute_index) in _CAPTURE_TIMES]
        times = [attrs.evolve(one, attribute_index=_CAPTURE_TIMES[_key(one)]) for one in timed]
        answers = await self._asker.read([_wanted(one) for one in (*wanted, *times)])
        await self._talk.store_pushes()
        captured = dict(zip(timed, answers[len(wanted) :], strict=True))
        values: list[PushValue] = []
        refused: dict[Attribute, str] = {}
        for one, answer in zip(wanted, answers, strict=False):
            found = self._value(one, answer, captured.get(one))
            if isinstance(found, str):
                refused[one] = found
                if answer.result in _FOR_GOOD:
                    self._scales[one] = Scale(one, refused=found)
            else:
                values.append(found)
        if values:
            await self._commit(values)
        return refused

    def _value(
        self, one: Attribute, answer: GetDataResult, captured: GetDataResult | None
    ) -> PushValue | str:
        """The value that an answer holds, or why there is none."""
        if answer.result is not DataAccessResult.SUCCESS:
            return cause(answer.result)
        known = self._scales.get(one, Scale(one))
        try:
            data = answer.data()
            at = captured and captured.octets and instant(captured.data())
        except (EncodingError, LimitError) as error:
            return error.code
        return PushValue(
            one.obis,
            one.class_id,
            one.attribute_index,
            data,
            known.scaler,
            known.unit,
            captured_at=at or None,
        )

    async def _learn_scales(self, wanted: Sequence[Attribute]) -> None:
        by_scale = {
            one: scale
            for one in wanted
            if one not in self._scales
            and (scale := scale_of(CaptureObject(one.class_id, one.obis, one.attribute_index, 0)))
        }
        model = self._talk.context.model_of(self._talk.meter)
        told = await scales(
            self._asker,
            list(dict.fromkeys(by_scale.values())),
            {} if model is None else model.scaler_units,
        )
        for one, scale in by_scale.items():
            self._scales[one] = Scale(one, *told[scale])

    async def _commit(self, values: Sequence[PushValue]) -> None:
        talk = self._talk
        talk.progress.phase = SessionPhase.STORE
        receipt = await talk.hop(
            talk.answers.store_values,
            values,
            self._asker.evidence,
            talk.context.now(),
            talk.exchange.server_counter,
        )
        talk.progress.phase = SessionPhase.REQUEST
        talk.context.metrics.count_receipt("spot", receipt)
        talk.progress.stored += receipt.stored

    async def _remember(self) -> None:
        known = self._talk.knowledge
        learnt = attrs.evolve(known, scales=tuple(self._scales.values()), link=self._asker.link)
        if learnt != known:
            await self._talk.keep(learnt)


def _key(one: Attribute) -> tuple[int, int]:
    return one.class_id, one.attribute_index


def _wanted(one: Attribute) -> Wanted:
    return Wanted(one.class_id, one.obis, one.attribute_index)
