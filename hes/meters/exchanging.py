"""Exchanges of meters, as rows say it: the old one goes at the instant the new one comes."""

from __future__ import annotations

from datetime import datetime

from hes.domain.life import MeterState
from hes.meters.fields import RowError
from hes.meters.place_rows import PlaceSpec
from hes.meters.rows import ExchangeSpec, MeterSpec
from hes.storage.installations import Installation
from hes.storage.meter_changes import KeptMeter
from hes.storage.sites import Measured, UsagePoint


def check_exchange(
    wanted: ExchangeSpec,
    spec: MeterSpec,
    old: KeptMeter | None,
    hanging: tuple[Installation, UsagePoint] | None,
    now: datetime,
) -> tuple[KeptMeter, str]:
    """
    The old meter and the usage point at which it hangs.

    Args: hanging: where it hangs now, None: nowhere.

    Raises:
        RowError: the exchange contradicts what is there.
    """
    if old is None:
        raise RowError("exchanges", f"no meter {wanted.old} in the inventory")
    if old.state is MeterState.RETIRED:
        raise RowError("exchanges", f"meter {wanted.old} is retired already")
    if hanging is None:
        raise RowError(
            "exchanges", f"meter {wanted.old} hangs nowhere; import it with its site first"
        )
    usage_point = hanging[0].usage_point
    if spec.place is not None and spec.place.usage_point != usage_point:
        raise RowError("usage_point", f"meter {wanted.old} hangs at {usage_point}")
    if wanted.at > now:
        raise RowError("installed_at", "lies in the future; say it once it has happened")
    return old, usage_point


def place_of(hanging: Installation, point: UsagePoint, at: datetime) -> PlaceSpec:
    """The old meter's place for the new one: it hangs behind the same transformers."""
    nodes = {measured.value: point.of for measured in Measured if measured is point.measures}
    return PlaceSpec(
        usage_point=point.name,
        measures=point.measures,
        installed_at=at,
        ct=hanging.ct,
        vt=hanging.vt,
        **nodes,
    )
