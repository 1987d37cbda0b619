"""
What one transaction of the writer has stored, told to others once it is committed.

What is told can be lost: a process may die between COMMIT and the telling, and a COMMIT whose
outcome was unknown is settled by its receipts alone. Whoever needs everything reads the batch rows
in their commit order.
"""

from __future__ import annotations

from typing import Protocol

import attrs

from hes.domain.readings import BoolArray, Int32Array, Int64Array, ReadingBatch, Receipt
from hes.pipeline.group import Value


@attrs.frozen(eq=False)
class Committed:
    """
    The accepted rows of one transaction as parallel arrays, and the receipts of its batches.

    Accepted are rows that are new, that revise, and that were there already. As in `Group`: the
    integers first, to which `value` and `null` belong, then the rows of `others`. `series_id` is
    where a row went to, `scaler` and `unit` are that series'.
    """

    receipts: tuple[tuple[ReadingBatch, Receipt], ...]
    channel_id: Int32Array
    series_id: Int32Array
    captured_at: Int64Array
    quality: Int32Array
    value: Int64Array
    null: BoolArray
    others: tuple[Value, ...]
    scaler: Int32Array
    unit: Int32Array

    def __len__(self) -> int:
        return len(self.captured_at)


class CommitListener(Protocol):
    """Is told of each transaction by the thread that wrote it, before its publishers are."""

    def committed(self, committed: Committed) -> None:
        """
        Take note of a transaction.

        Called by several threads. Must return at once and never raise: the next transaction and
        the publishers of this one wait for it.
        """
