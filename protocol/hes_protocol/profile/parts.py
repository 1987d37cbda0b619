"""
A buffer taken apart into rows of one shape each, which are read by strided views of its octets.

Owns which row has which shape. Regular buffers are one part and nothing of them is copied; rows
that vary in a few ways (null clocks, null values, strings of another length) are as many parts.
"""

from __future__ import annotations

from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from hes_protocol.axdr import Data, DataTag, read_length
from hes_protocol.axdr.leaves import READERS
from hes_protocol.errors import RemoteProtocolError
from hes_protocol.profile.columns import UInt8Array
from hes_protocol.profile.template import RowTemplate, template_at

_ARRAY: Final = int(DataTag.ARRAY)
# Above this many shapes the rows have nothing in common that would be worth the while.
_MAX_SHAPES: Final = 64
# Rows of one shape are looked for in steps, so that rows which alternate cost no more than they do.
_FIRST_STEP: Final = 16

_Index = npt.NDArray[np.intp]


@attrs.frozen(eq=False)
class Part:
    """
    Rows of one shape, `rows` of them one behind the other from `begin` on in `octets`.

    `index` says which rows of the profile they are; None where they are all of them.
    """

    template: RowTemplate
    octets: bytes
    begin: int
    rows: int
    index: _Index | slice | None

    def view(self, place: int, dtype: Any) -> npt.NDArray[Any]:
        """The contents of the cells at `place`, as numbers of `dtype`, not copied."""
        template = self.template
        return np.ndarray(
            (self.rows,),
            dtype,
            self.octets,
            self.begin + template.cells[place].contents,
            (template.octets,),
        )

    def table(self, place: int) -> UInt8Array:
        """The contents of the cells at `place`, a row of octets each, not copied."""
        template = self.template
        cell = template.cells[place]
        return np.ndarray(
            (self.rows, cell.size),
            np.uint8,
            self.octets,
            self.begin + cell.contents,
            (template.octets, 1),
        )

    def cells(self, place: int) -> list[Data]:
        """The cells at `place` as values, one by one."""
        cell = self.template.cells[place]
        read = READERS[cell.tag]
        assert read is not None
        begin = self.begin + cell.behind_tag
        end = len(self.octets)
        step = self.template.octets
        return [read(self.octets, begin + row * step, end)[0] for row in range(self.rows)]


def take_apart(octets: bytes, width: int) -> list[Part] | None:
    """
    The rows of a buffer by their shapes.

    Args: octets: the encoded buffer. width: cells that each row must have.
    Returns: None where this is no array that is filled by rows of so many cells, where there are
        no rows, where a cell holds other values, or where the rows are of too many shapes.
    """
    if octets[:1] != b"\x01" or not width:
        return None
    try:
        rows, begin = read_length(octets, 1)
    except RemoteProtocolError:
        return None
    if not rows:
        return None
    template = template_at(octets, begin, width)
    if template is None:
        return None
    if (
        begin + rows * template.octets == len(octets)
        and template.leading(octets, begin, rows) == rows
    ):
        return [Part(template, octets, begin, rows, None)]
    return _by_shape(octets, begin, rows, width)


def _by_shape(octets: bytes, begin: int, rows: int, width: int) -> list[Part] | None:
    end = len(octets)
    # By shape: runs of rows, as (first row, rows, where they begin).
    found: dict[RowTemplate, list[tuple[int, int, int]]] = {}
    row, last = 0, None
    while row < rows:
        template = template_at(octets, begin, width)
        if template is None:
            return None
        run = 1
        if template is last:
            run = _run(template, octets, begin, min(rows - row, (end - begin) // template.octets))
        if template not in found and len(found) == _MAX_SHAPES:
            return None
        runs = found.setdefault(template, [])
        if template is last:
            first, before, start = runs.pop()
            runs.append((first, before + run, start))
        else:
            runs.append((row, run, begin))
        begin, row, last = begin + run * template.octets, row + run, template
    if begin != end:
        return None
    return [_part(template, octets, runs) for template, runs in found.items()]


def _run(template: RowTemplate, octets: bytes, begin: int, rows: int) -> int:
    """How many of `rows` rows from `begin` on have this shape; the first one has it."""
    run, step = 1, _FIRST_STEP
    while run < rows:
        step = min(step, rows - run)
        same = template.leading(octets, begin + run * template.octets, step)
        run += same
        if same < step:
            break
        step *= 4
    return run


def _part(template: RowTemplate, octets: bytes, runs: list[tuple[int, int, int]]) -> Part:
    if len(runs) == 1:
        ((first, count, begin),) = runs
        return Part(template, octets, begin, count, slice(first, first + count))
    joined = b"".join([octets[begin : begin + count * template.octets] for _, count, begin in runs])
    firsts, counts, _ = np.array(runs, np.intp).T
    rows = int(counts.sum())
    # Each run's rows count on from its first one.
    before = np.repeat(counts.cumsum() - counts, counts)
    index = np.repeat(firsts, counts) + np.arange(rows) - before
    return Part(template, joined, 0, rows, index)
