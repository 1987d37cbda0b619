"""
Numbers that an object is set to: by its model's options, then by clients who may write them.

Owns the table of such attributes: which tag, which option gives the first value, which range. Used
by classes most of whose attributes are numbers (112, 113).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from hes_protocol.axdr import Data, DataTag
from hes_protocol.models.objects import ModelObject
from hes_simulators.classes.answering import number

if TYPE_CHECKING:
    from hes_simulators.meter import Meter


@attrs.frozen
class Setting:
    """One attribute: `name` of its option and of what is kept, tag, first value, range."""

    name: str
    tag: DataTag
    default: int = 0
    least: int | None = None
    most: int | None = None

    def of(self, meter: Meter, one: ModelObject) -> int:
        """What it is set to now."""
        value: int = meter.state.peek(
            one.obis, self.name, int(one.options.get(self.name, self.default))
        )
        return value

    def data(self, meter: Meter, one: ModelObject) -> Data:
        """As a client reads it."""
        return Data(self.tag, self.of(meter, one))

    def check(self, data: Data) -> int:
        """
        What a client wants it to be.

        Raises: Refused: another type, or out of range.
        """
        return number(data, self.tag, self.least, self.most)


Settings = Mapping[int, Setting]
"""By attribute_index."""
