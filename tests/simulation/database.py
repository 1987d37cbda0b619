"""
The database of a simulation: the in-memory ports of `fakes`, behind a connection that fails.

Each port call is a transaction: it happens as a whole or not at all, whatever is killed meanwhile.
What a caller hears of it is another matter: the connection may be lost before the COMMIT (nothing
has happened), or in it, and then the caller hears of a failure although all has happened. While the
database is away nothing happens. Everything is noted as it was seen at the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, cast

import attrs

from hes.domain.errors import HesError, LeaseLostError, StorageUnavailableError
from hes.domain.ports import Finished, Lease
from hes.domain.readings import ReadingBatch
from hes_collectors.dlms import Ports
from tests.simulation.determinism import Chances
from tests.simulation.history import History
from tests.simulation.process import Process
from tests.unit.hes_collectors.fakes import FakeStorage

_LOST_RATE: Final = 0.03
_UNKNOWN_RATE: Final = 0.03
# Nobody repeats these: a report is part of `finish`.
_TOLD_ONCE: Final = frozenset({"sessions.record", "sessions.security_event"})
_TAKES: Final = frozenset({"leases.take", "leases.take_dialled"})


def _taken(*_: Any, lease_s: float, result: Any, **__: Any) -> Iterator[dict[str, Any]]:
    for lease in [result] if isinstance(result, Lease) else result or ():
        yield {
            "meter": lease.meter.meter_id.int,
            "token": lease.token,
            "lease_s": lease_s,
            "items": tuple((item.item_id, item.kind.value) for item in lease.items),
        }


def _finished(ended: Sequence[Finished], *, result: Any) -> Iterator[dict[str, Any]]:
    for one in ended:
        yield {
            "meter": one.lease.meter.meter_id.int,
            "token": one.lease.token,
            "session": one.report.session_id.int,
            "began_at": one.report.started_at,
            "lost": result is None or one.lease.token in result,
            "cause": one.report.cause,
            "results": tuple(
                (each.item_id, each.state and each.state.value, each.cause) for each in one.results
            ),
            "read_all": one.read_at is not None,
            "quarantine": one.after.quarantine,
        }


def _released(leases: Sequence[Lease], *, result: Any, **_: Any) -> Iterator[dict[str, Any]]:
    for lease in leases:
        yield {"meter": lease.meter.meter_id.int, "token": lease.token}


def _published(batch: ReadingBatch, *, result: Any) -> Iterator[dict[str, Any]]:
    yield {
        "batch": batch.batch_key.int,
        "token": batch.provenance.lease_token,
        "rows": tuple(values_of(batch)),
    }


def values_of(batch: ReadingBatch) -> Iterator[tuple[int, str, int, int | None]]:
    """Meter, OBIS, microseconds since 1970 and value of what a batch says in whole numbers."""
    rows = batch.integers
    for index, at, value, null in zip(
        rows.series_index.tolist(),
        rows.captured_at.tolist(),
        rows.value.tolist(),
        rows.null.tolist(),
        strict=True,
    ):
        channel = batch.series[index].channel
        if channel.source is not None:
            yield channel.meter_id.int, str(channel.obis), at, None if null else value


# What is noted of a call, by port and method; of others nothing is.
_FACTS: Final[dict[str, Callable[..., Iterator[dict[str, Any]]]]] = {
    "leases.take": _taken,
    "leases.take_dialled": _taken,
    "leases.finish": _finished,
    "leases.release": _released,
    "sink.publish": _published,
}


class Unreliable:
    """
    The database as collectors reach it.

    `calls` counts the transactions; `before` and `after` are called around each.

    Args: storage: the model. chances: `database-lost` and `commit-unknown` are its fault points.
    """

    def __init__(self, storage: FakeStorage, chances: Chances, history: History) -> None:
        self.storage = storage
        self._chances = chances
        self._history = history
        self.calls = 0
        self.before: Callable[[Process], None] = lambda _: None
        self.after: Callable[[Process], None] = lambda _: None

    def ports(self, process: Process) -> Ports:
        """What a process is given."""
        inner = self.storage.ports()
        known = {field.name: getattr(inner, field.name) for field in attrs.fields(Ports)}
        return Ports(
            **{
                name: port and cast("Any", _Port(self, process, name, port))
                for name, port in known.items()
            }
        )

    def transact(
        self, process: Process, name: str, call: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        """One port call of a process. Raises: what the port raises, and that it was lost."""
        self.calls += 1
        self.before(process)
        if not process.alive:
            raise StorageUnavailableError("this process is dead")
        if self._chances.strikes("database-lost", _LOST_RATE):
            raise StorageUnavailableError("the connection was lost before COMMIT")
        try:
            if name == "sink.publish":
                self._fence(*args)
            result = call(*args, **kwargs)
        except HesError as error:
            self._note(process, name, args, kwargs, type(error).__name__, None)
            raise
        unknown = name not in _TOLD_ONCE and self._chances.strikes("commit-unknown", _UNKNOWN_RATE)
        self._note(process, name, args, kwargs, "unknown" if unknown else "ok", result)
        self.after(process)
        if unknown or not process.alive:
            raise StorageUnavailableError("the connection was lost in COMMIT")
        if name in _TAKES and result is not None:
            for lease in [result] if isinstance(result, Lease) else result:
                process.tokens[lease.meter.meter_id] = lease.token
        return result

    def _fence(self, batch: ReadingBatch) -> None:
        """
        As the writer's transaction: what was read under a lease is stored only while it holds.

        Raises: LeaseLostError.
        """
        token, now = batch.provenance.lease_token, self.storage.now()
        for meter_id in batch.meter_ids if token is not None else ():
            work = self.storage.work[meter_id]
            if work.token != token or work.leased_until is None or work.leased_until <= now:
                raise LeaseLostError(str(token))

    def _note(
        self, process: Process, name: str, args: Any, kwargs: Any, said: str, result: Any
    ) -> None:
        if name in _FACTS:
            for facts in _FACTS[name](*args, **kwargs, result=result):
                if name in _TAKES:
                    facts["skew_s"] = process.skew_s
                self._history.note(process.name, name, said=said, **facts)


@attrs.frozen
class _Port:
    """Stands in for a port of a process."""

    database: Unreliable
    process: Process
    name: str
    inner: object

    def __getattr__(self, method: str) -> Callable[..., Any]:
        return partial(
            self.database.transact,
            self.process,
            f"{self.name}.{method}",
            getattr(self.inner, method),
        )
