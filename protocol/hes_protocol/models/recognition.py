"""
Which model a meter is, by what it says of itself: logical device name and object list. Pure.

A logical device name begins with its maker's three letters (IEC 62056-6-2, class_id 1,
0.0.42.0.0.255), so a name that begins otherwise than a model's rules that model out; one that fits
says who made the meter and not what it is. The object list says that: how much of it a model's
table has, and the other way round. Neither is proof; what an operator says stands above both.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

import attrs

from hes_protocol.cosem import Obis
from hes_protocol.models.model import Model

_NAME_ALONE: Final = 0.5
_LIKE: Final = 0.6
_LEAD: Final = 0.05


@attrs.frozen
class Candidate:
    """
    A model that a meter may be.

    `score` is 0 to 1: the share of objects that both have among all that either has; 0.5 where a
    model without a table of objects has the meter's maker. `named`: the device name fits.
    """

    model: str
    score: float
    named: bool


def recognise(
    device_name: str | None,
    objects: Collection[tuple[int, Obis]],
    models: Iterable[Model],
    *,
    client_sap: int | None = None,
) -> Sequence[Candidate]:
    """
    The models that a meter may be, likeliest first.

    Args: objects: class_id and logical_name of the meter's object list, empty if it hides it.
        client_sap: to whom the meter has shown them; a model's table is then what it shows the same
        client, where it knows that client at all.
    Returns: none that the device name rules out, none of which nothing fits.
    """
    shown = frozenset(objects)
    candidates = []
    for model in models:
        named = _names(device_name, model)
        if named is False:
            continue
        likeness = _likeness(shown, _table(model, client_sap))
        score = likeness if likeness is not None else _NAME_ALONE if named else 0.0
        if score > 0:
            candidates.append(Candidate(model.name, round(score, 4), bool(named)))
    return sorted(candidates, key=lambda each: (-each.score, not each.named, each.model))


def certain(candidates: Sequence[Candidate]) -> str | None:
    """
    The model to take a meter for, None where that would be a guess.

    The first must have all objects of the meter and no others, alone; or most of them, a fitting
    name, and a lead over the next.
    """
    if not candidates:
        return None
    first = candidates[0]
    next_score = candidates[1].score if len(candidates) > 1 else 0.0
    if first.score == 1.0:
        return first.model if next_score < 1.0 else None
    leads = first.score - next_score >= _LEAD
    return first.model if first.named and first.score >= _LIKE and leads else None


def _names(device_name: str | None, model: Model) -> bool | None:
    """Whether a device name fits a model, None where one of them says nothing."""
    if not device_name or not model.device_name:
        return None
    return device_name.startswith(model.device_name)


def _table(model: Model, client_sap: int | None) -> frozenset[tuple[int, Obis]]:
    if client_sap not in model.clients:
        return frozenset(model.objects)
    return frozenset(key for key, one in model.objects.items() if client_sap in one.clients)


def _likeness(
    shown: frozenset[tuple[int, Obis]], table: frozenset[tuple[int, Obis]]
) -> float | None:
    """How much of two lists is common to both; None where there is nothing to compare."""
    return len(shown & table) / len(shown | table) if shown and table else None
