"""
Power quality: the profiles that are for it, then voltages, currents, power factors and frequency.

A profile counts if its name says so, or if it captures nothing but such quantities: manufacturers
put them into profiles of many names.
"""

from __future__ import annotations

import attrs

from hes.domain.kinds import is_power_quality, profile_kind
from hes.domain.meters import ProfileKnowledge
from hes.domain.work import ReadKind
from hes_collectors.dlms.profiles import read_profile
from hes_collectors.dlms.registers import read_registers
from hes_collectors.dlms.talk import Talk
from hes_collectors.dlms.work import Step, StepOutcome

_REGISTERS = frozenset({3, 4, 5})


async def read_power_quality(talk: Talk, step: Step) -> StepOutcome:
    """
    Read one profile or the named registers; all that is of power quality where nothing is named.

    Raises: as `Exchange.ask`, and what storage raises.
    """
    if step.source is not None:
        return await read_profile(talk, step)
    if step.attributes:
        return await read_registers(talk, step)
    outcomes = [
        await read_profile(talk, attrs.evolve(step, source=profile.obis))
        for profile in talk.knowledge.profiles
        if is_quality_profile(profile)
    ]
    outcomes.append(await read_registers(talk, step))
    refusals = [outcome.refused for outcome in outcomes if outcome.refused]
    return StepOutcome(
        refused=refusals[0] if len(refusals) == len(outcomes) else None,
        complete=all(outcome.complete for outcome in outcomes),
        note=next(iter(refusals), None),
    )


def is_quality_profile(profile: ProfileKnowledge) -> bool:
    """Whether a profile is for power quality, by its name or by what it captures."""
    if profile_kind(profile.obis, profile.capture_period_s) is ReadKind.POWER_QUALITY:
        return True
    values = [column.obis for column in profile.columns if column.class_id in _REGISTERS]
    return bool(values) and all(map(is_power_quality, values))
