"""
Who the meters of a scenario are, and where they hang.

Owns groups (meters of one model, one kind of customer, reached in one way) and places (district,
feeder, transformer, site). A group is a range of indices, so that a fleet makes one kind for each
group and finds it by bisection; places are drawn from the seed and mix the groups, since a feeder
does not ask for models. Nothing here costs an object for each meter.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Final
from zoneinfo import ZoneInfo

import attrs
import numpy as np

from hes_simulators.randomness import Int64Array, stream_key, uniform
from hes_simulators.reach import Reach

DEFAULT_ZONE: Final = "Europe/Berlin"


@attrs.frozen(kw_only=True)
class Group:
    """
    Meters of one kind.

    Args:
        name: unique in the scenario.
        model: name of a model in config/models.
        count: how many.
        curve: kind of customer (`energy.source`); None: as the model says.
        zone: of the meters.
        security: of the management client where the model leaves it open; None: as usual.
        profile_days: depth of the load profile's buffer where the model leaves it open.
        pdu: max_receive_pdu_size, octets, where the model leaves it open; None: as usual.
        reach: how they are reached and how they speak up; None: the fleet's.
    """

    name: str
    model: str
    count: int
    curve: str | None = None
    zone: ZoneInfo = attrs.field(factory=lambda: ZoneInfo(DEFAULT_ZONE))
    security: str | None = None
    profile_days: int | None = None
    pdu: int | None = None
    reach: Reach | None = None


@attrs.frozen(kw_only=True)
class District:
    """A part of a town: a share of the meters, and the feeders and transformers for them."""

    name: str
    share: float = 1.0
    feeders: int = 1
    transformers: int = 1  # of each feeder

    def feeder(self, number: int) -> str:
        """The name of a feeder, by its number from 0."""
        return f"{self.name} F{number + 1}"


@attrs.frozen
class Place:
    """Where one meter hangs, by the names of the meter file."""

    district: str
    feeder: str
    transformer: str
    site: str


class Population:
    """
    The meters of a scenario, by index from 0.

    Args: groups: in the order of their indices. districts: at least one; their shares count
        among each other. seed: the places follow from it.
    """

    def __init__(self, groups: Sequence[Group], districts: Sequence[District], seed: int) -> None:
        self.groups = tuple(groups)
        self.districts = tuple(districts)
        self._seed = seed
        self._ends = list(accumulate(group.count for group in groups))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def group(self, index: int) -> Group:
        """
        The group of a meter.

        Raises: IndexError: there is no such meter.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.groups[bisect_right(self._ends, index)]

    def ranges(self) -> Iterator[tuple[Group, range]]:
        """Each group with the indices of its meters."""
        for group, end in zip(self.groups, self._ends, strict=True):
            yield group, range(end - group.count, end)

    def place(self, index: int) -> Place:
        """Where a meter hangs."""
        number, feeder_number, transformer = self._cells[index].tolist()
        district = self.districts[number]
        feeder = district.feeder(feeder_number)
        site = f"{district.name} {index + 1}"
        return Place(district.name, feeder, f"{feeder} T{transformer + 1}", site)

    def everybody(self) -> Int64Array:
        """All indices."""
        return np.arange(len(self), dtype=np.int64)

    def on_feeder(self, name: str) -> Int64Array:
        """
        The indices of the meters on a feeder.

        Raises: KeyError: there is no such feeder.
        """
        for number, district in enumerate(self.districts):
            for feeder in range(district.feeders):
                if district.feeder(feeder) == name:
                    on = (self._cells[:, 0] == number) & (self._cells[:, 1] == feeder)
                    return np.flatnonzero(on)
        raise KeyError(name)

    def in_district(self, name: str) -> Int64Array:
        """
        The indices of the meters in a district.

        Raises: KeyError: there is no such district.
        """
        for number, district in enumerate(self.districts):
            if district.name == name:
                return np.flatnonzero(self._cells[:, 0] == number)
        raise KeyError(name)

    def in_group(self, name: str) -> Int64Array:
        """
        The indices of the meters of a group.

        Raises: KeyError: there is no such group.
        """
        for group, indices in self.ranges():
            if group.name == name:
                return np.arange(indices.start, indices.stop, dtype=np.int64)
        raise KeyError(name)

    def names(self, key: str) -> list[str]:
        """What can be chosen by `population`, `district` or `feeder`."""
        match key:
            case "population":
                return [group.name for group in self.groups]
            case "district":
                return [district.name for district in self.districts]
        return [
            district.feeder(number)
            for district in self.districts
            for number in range(district.feeders)
        ]

    @cached_property
    def _cells(self) -> Int64Array:
        """(meters, 3): numbers from 0 of district, feeder in it, transformer on that."""
        indices = self.everybody()
        shares = np.array([district.share for district in self.districts])
        bounds = np.cumsum(shares) / shares.sum()
        drawn = uniform(stream_key(self._seed, "district"), indices)
        district = np.minimum(np.searchsorted(bounds, drawn, side="right"), len(bounds) - 1)
        columns = [district]
        for purpose in ("feeders", "transformers"):
            most = np.array([getattr(one, purpose) for one in self.districts])[district]
            drawn = uniform(stream_key(self._seed, purpose), indices)
            columns.append(np.floor(drawn * most).astype(np.int64))
        return np.stack(columns, axis=1).astype(np.int64)
