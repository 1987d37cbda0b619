"""
M-Bus children, as rows say it: at which channel of which meter one hangs, and since when.

As with places: a row that says `installed_at` takes its channel over, whatever hangs there ends
there, and the child itself ends where it hung before. Without it a taken channel is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import attrs

from hes.meters.fields import RowError
from hes.storage.mbus import Attachment


@attrs.frozen
class Attached:
    """What has to change: which attachments end when, and which begin."""

    ended: dict[int, datetime] = attrs.field(factory=dict)
    added: list[Attachment] = attrs.field(factory=list)


class Attaching:
    """The attachments that a chunk of rows touches; `kept` are those that are there."""

    def __init__(self, kept: Sequence[Attachment]) -> None:
        self._spans = list(kept)
        self._kept_until = {each.attachment_id: each.until for each in kept}

    def hang(self, wanted: Attachment, *, said: bool) -> Sequence[Attachment]:
        """
        What there is once a child hangs where it is wanted since `wanted.since`; for `keep`.

        Args: said: the row says since when, so it ends what hangs there.

        Raises:
            RowError: something else hangs there, or hung there at that time.
        """
        touched = [
            span
            for span in self._spans
            if span.child_id == wanted.child_id
            or (span.parent_id, span.channel) == (wanted.parent_id, wanted.channel)
        ]
        if any(_same(span, wanted) and span.until is None for span in touched):
            return self._spans
        overlapping = [span for span in touched if span.until is None or span.until > wanted.since]
        ended = [self._ended(span, wanted.since, said=said) for span in overlapping]
        return [*(span for span in self._spans if span not in overlapping), *ended, wanted]

    def keep(self, spans: Sequence[Attachment]) -> None:
        """Take up what `hang` said."""
        self._spans = list(spans)

    def end(self, parent_id: UUID, channel: int, at: datetime) -> bool:
        """
        Take down what hangs at a channel.

        Returns: whether anything did.

        Raises:
            RowError: it was hung up only later.
        """
        for place, span in enumerate(self._spans):
            if (span.parent_id, span.channel, span.until) == (parent_id, channel, None):
                self._spans[place] = self._ended(span, at, said=True)
                return True
        return False

    def result(self) -> Attached:
        """What has to be written."""
        attached = Attached()
        for span in self._spans:
            if span.attachment_id is None:
                attached.added.append(span)
            elif span.until is not None and span.until != self._kept_until[span.attachment_id]:
                attached.ended[span.attachment_id] = span.until
        return attached

    def _ended(self, span: Attachment, since: datetime, *, said: bool) -> Attachment:
        where = f"meter {span.child} hangs at channel {span.channel} of {span.parent}"
        if span.until is not None:
            raise RowError("installed_at", f"{where} until {span.until.isoformat()}")
        if not said:
            raise RowError("channel", f"{where}; with installed_at this row ends that")
        if span.since >= since:
            raise RowError("installed_at", f"{where} since {span.since.isoformat()}")
        return attrs.evolve(span, until=since)


def _same(one: Attachment, other: Attachment) -> bool:
    return (one.parent_id, one.channel, one.child_id) == (
        other.parent_id,
        other.channel,
        other.child_id,
    )
