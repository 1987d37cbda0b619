"""
What an outbound session reads each time: the clock, and each profile since its mark.

Owns the way of one answer into storage: decoding, then the sink, in one hop into a
worker thread, so that a large buffer never holds up the loop. Does not own phases or deadlines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

import attrs
import numpy as np

from hes.domain.meters import Meter, ProfileKnowledge
from hes.domain.ports import Lease
from hes.domain.quality import Quality
from hes.domain.readings import (
    IntegerRows,
    LogEntry,
    LogGap,
    Provenance,
    ReadingBatch,
    Receipt,
    SourceKind,
    VerifiedCounter,
)
from hes.ingest.events import log_entries
from hes.ingest.profile import profile_batch
from hes.ingest.push import push_batch
from hes.ingest.time import to_utc
from hes_collectors.dlms.context import Ports
from hes_collectors.dlms.entries import RowTime
from hes_collectors.dlms.exchange import Exchange
from hes_collectors.dlms.learning import read
from hes_collectors.dlms.ranges import decodable
from hes_collectors.dlms.unread import ClockSeen
from hes_protocol.axdr.data import Data, DataTag
from hes_protocol.cosem import CosemDateTime, Obis
from hes_protocol.errors import LimitError
from hes_protocol.profile import NullMeaning, ProfileColumns, decode_profile
from hes_protocol.push import Push, PushValue

_CLASS_CLOCK: Final = 8
_CLOCK: Final = Obis.parse("0.0.1.0.0.255")
# A line takes a hundred times as much memory here as it can be made to take on the line.
_MOST_LINES: Final = 10_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


async def look_at_clock(
    exchange: Exchange, meter: Meter, now: Callable[[], datetime], *, standard_time: bool
) -> ClockSeen | None:
    """
    What the meter's clock shows; None where it shows nothing. `standard_time`: see `to_utc`.

    Raises: what `Exchange.ask` raises.
    """
    asked_at = now()
    data = await read(exchange, _CLASS_CLOCK, _CLOCK, 2)
    answered_at = now()
    shown = None if data is None else instant(data, meter, standard_time=standard_time)
    return None if shown is None else ClockSeen(shown, asked_at, answered_at)


@attrs.frozen
class Arrived:
    """
    A part of a profile's buffer, and how it came.

    `octets`: one encoded `Data`. `evidence`: the answer as it arrived, framed and ciphered.
    `asked_until`: the end of the range that was asked for. `server_counter`: the meter's, verified.
    `fresh`: which rows, the oldest first, are to be kept, the others being there already; None:
    all. `beside_mark`: it says nothing of how far the profile is read.
    """

    octets: bytes = attrs.field(repr=False)
    evidence: bytes = attrs.field(repr=False)
    received_at: datetime
    asked_until: datetime
    server_counter: int | None
    fresh: tuple[bool, ...] | None = None
    beside_mark: bool = False


class AnswerStore:
    """
    Takes profile answers of one session to storage.

    Every method is synchronous and runs in a worker thread.

    Args:
        ports: storage. lease: whose meter. session_id: for provenance.
        authenticated: whether every answer of this association carries a verified tag.
        null_means: what a null value stands for; unless the model says it, a missing one: a
            reading that the meter did not send must not be made up.
        standard_time: the meter's clock stays on standard time, see `to_utc`.
    """

    def __init__(
        self,
        ports: Ports,
        lease: Lease,
        session_id: UUID,
        *,
        authenticated: bool,
        null_means: NullMeaning | None = None,
        standard_time: bool = False,
    ) -> None:
        self._ports = ports
        self._lease = lease
        self._session_id = session_id
        self._quality = 0 if authenticated else int(Quality.UNAUTHENTICATED)
        self._null_means = null_means or NullMeaning.MISSING
        self._standard_time = standard_time
        self.key_fingerprint: bytes | None = None
        """Of the key under which the meter's counters are verified; the session says it."""

    @property
    def session_id(self) -> UUID:
        """Whose answers these are."""
        return self._session_id

    def verified(self, server_counter: int | None) -> VerifiedCounter | None:
        """
        The meter's counter as it is kept with what it vouches for.

        The client has checked that it rose from the last one kept. That somebody has kept a
        higher one since is no replay: a push of this meter came in by its own connection.
        """
        if server_counter is None:
            return None
        client_sap = self._lease.meter.association.client_sap
        return VerifiedCounter(client_sap, server_counter, self.key_fingerprint)

    def store(self, profile: ProfileKnowledge, arrived: Arrived) -> Receipt | None:
        """
        Decode a part of a profile's buffer and commit its rows.

        Returns: the receipt, None where the buffer held no rows.
        Raises: RemoteProtocolError: the buffer is not what the profile says.
            StorageUnavailableError: nothing of it is stored.
        """
        columns = self._decoded(profile, arrived)
        fresh = arrived.fresh
        if not (columns.rows if fresh is None else any(fresh)):
            return None
        batch = profile_batch(
            columns,
            profile,
            self._lease.meter,
            self._provenance(SourceKind.PROFILE, arrived),
            uuid4(),
            self._quality,
            standard_time=self._standard_time,
        )
        return self._ports.sink.publish(batch if fresh is None else _only(batch, fresh))

    def lines(self, profile: ProfileKnowledge, arrived: Arrived) -> tuple[LogEntry, ...]:
        """
        The lines of a part of an event log, the oldest first; those that are not fresh, too.

        Raises: as `store`; LimitError: "too-large", more lines than any log has.
        """
        columns = self._decoded(profile, arrived)
        if columns.rows > _MOST_LINES:
            raise LimitError("too-large", f"{columns.rows} lines of a log")
        return log_entries(
            columns, profile, self._lease.meter, self._quality, standard_time=self._standard_time
        )

    def store_log(
        self, lines: Sequence[LogEntry], gaps: Sequence[LogGap], arrived: Arrived
    ) -> Receipt:
        """Commit lines of logs, and what is gone from them. Raises: StorageUnavailableError."""
        return self._ports.sink.publish(
            ReadingBatch(
                uuid4(),
                (),
                IntegerRows.empty(),
                (),
                self._provenance(SourceKind.PROFILE, arrived),
                tuple(lines),
                tuple(gaps),
            )
        )

    def _decoded(self, profile: ProfileKnowledge, arrived: Arrived) -> ProfileColumns:
        return decode_profile(
            arrived.octets,
            decodable(profile),
            capture_period_s=profile.capture_period_s,
            null_means=self._null_means,
        )

    def _provenance(self, kind: SourceKind, arrived: Arrived) -> Provenance:
        return Provenance(
            kind=kind,
            received_at=arrived.received_at,
            session_id=self._session_id,
            lease_token=self._lease.token,
            evidence=arrived.evidence,
            asked_until=arrived.asked_until,
            beside_mark=arrived.beside_mark,
            counter=self.verified(arrived.server_counter),
        )

    def store_values(
        self,
        values: Sequence[PushValue],
        evidence: bytes,
        received_at: datetime,
        server_counter: int | None,
    ) -> Receipt:
        """
        Commit values of single attributes, each at its own time or at that of receipt.

        Args: evidence, received_at, server_counter: as of `Arrived`.
        Raises: StorageUnavailableError: nothing of it is stored.
        """
        batch = push_batch(
            Push(tuple(values), (), None),
            self._lease.meter,
            Provenance(
                kind=SourceKind.SPOT,
                received_at=received_at,
                session_id=self._session_id,
                lease_token=self._lease.token,
                evidence=evidence,
                counter=self.verified(server_counter),
            ),
            uuid4(),
            self._quality,
            standard_time=self._standard_time,
        )
        return self._ports.sink.publish(batch)


def _only(batch: ReadingBatch, fresh: tuple[bool, ...]) -> ReadingBatch:
    """The rows of a profile's batch that are fresh; its columns stand one behind the other."""
    rows = batch.integers
    kept = np.resize(np.array(fresh), len(rows.value))
    return attrs.evolve(
        batch,
        integers=IntegerRows(
            rows.series_index[kept],
            rows.captured_at[kept],
            rows.value[kept],
            rows.null[kept],
            rows.quality[kept],
        ),
        others=tuple(
            other for place, other in enumerate(batch.others) if fresh[place % len(fresh)]
        ),
    )


def row_times(
    profile: ProfileKnowledge, octets: bytes, meter: Meter, *, standard_time: bool
) -> tuple[RowTime, ...]:
    """
    When the rows of a buffer were captured, in their order; `standard_time`: see `to_utc`.

    Runs in a worker thread. Raises: RemoteProtocolError: the buffer is not what the profile says.
    """
    columns = decode_profile(
        octets,
        decodable(profile),
        capture_period_s=profile.capture_period_s,
        null_means=NullMeaning.MISSING,
    )
    clock = columns.clock
    assert clock is not None  # only profiles with one are read
    at, quality = to_utc(
        clock.local_us,
        clock.deviation_min,
        clock.status.astype(np.int32),
        meter.timezone,
        standard_time=standard_time,
    )
    certain = (quality & (Quality.TIME_AMBIGUOUS | Quality.TIME_NONEXISTENT)) == 0
    return tuple(
        RowTime(_EPOCH + timedelta(microseconds=int(us)), bool(sure))
        if known
        else RowTime(None, certain=False)
        for us, sure, known in zip(at, certain, clock.known, strict=True)
    )


def instant(data: Data, meter: Meter, *, standard_time: bool) -> datetime | None:
    """The instant that a meter's date-time says; None where it says none."""
    if data.tag not in (DataTag.OCTET_STRING, DataTag.DATE_TIME) or len(data.value) != 12:
        return None
    moment = CosemDateTime.from_octets(data.value)
    local = moment.local()
    if local is None:
        return None
    utc_us, _ = to_utc(
        np.array([np.datetime64(local, "us").astype(np.int64)], np.int64),
        np.array([moment.deviation_min], np.int32),
        np.array([moment.clock_status], np.int32),
        meter.timezone,
        standard_time=standard_time,
    )
    return _EPOCH + timedelta(microseconds=int(utc_us[0]))
