"""
The way to the database: a small pool of connections, one transaction per use.

Owns connecting, time-outs and the translation of errors; knows no table. Everything above it works
in `with database.connection() as connection:` and lets `StorageUnavailableError` pass.
"""

from __future__ import annotations

import logging
import re
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from hes.domain.errors import PermanentError, StorageUnavailableError

Connection = psycopg.Connection[tuple[Any, ...]]

_SETTINGS = """
SELECT set_config('TimeZone', 'UTC', false),
       set_config('statement_timeout', %(statement_timeout)s, false),
       set_config('lock_timeout', %(lock_timeout)s, false),
       set_config('idle_in_transaction_session_timeout', %(idle_timeout)s, false),
       -- The writer's second statement must see what others committed after its first.
       set_config('default_transaction_isolation', 'read committed', false),
       -- What we acknowledge must survive the loss of power. A stronger setting of the server
       -- (remote_apply) stays.
       CASE WHEN current_setting('synchronous_commit') = 'off'
            THEN set_config('synchronous_commit', 'on', false) END
"""

# The pool tells of failed attempts by warnings. They belong into a configured log; without one,
# the exception that follows says it all.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

_TRANSPORT = {
    # Without these a connection whose other end vanished is noticed after two hours.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


# Conditions of the server and not of what it was asked, by SQLSTATE. psycopg has some of them
# under InternalError, together with bugs of ours.
# Source: PostgreSQL manual, appendix A.
_UNAVAILABLE: Final = (
    "08",  # connection exception
    "25006",  # read-only transaction: a standby, or an administrator's wish
    "25P03",  # idle-in-transaction timeout: we were stopped for a while
    "40",  # deadlock, serialization failure
    "53",  # insufficient resources: disk full, out of memory, too many connections
    "55P03",  # lock not available
    "57",  # operator intervention: shutdown, statement timeout
    "58",  # system error: I/O
    "XX",  # internal error, data corrupted
)
_READ_ONLY: Final = "25006"
_STATEMENT_TIMEOUT: Final = "57014"
_LOCK_TIMEOUT: Final = "55P03"

_URL_FORM: Final = re.compile(
    r"""
    postgres(ql)?://
    ([^\s@/?\#:]*(:[^\s@/?\#:]*)?@)?          # user:password
    (\[[0-9A-Fa-f:.]+\]|[\w.%-]*)(:\d+)?      # host:port, none for a socket named by ?host=
    (,(\[[0-9A-Fa-f:.]+\]|[\w.%-]+)(:\d+)?)*  # further hosts
    (/[^\s@/?\#]*)?                          # database
    (\?[^\s?\#]*)?
    """,
    re.VERBOSE | re.ASCII,
)


class DatabaseUrlError(PermanentError):
    """The database URL is none. Does not quote it: there is a password in it."""


class StatementTimeoutError(StorageUnavailableError):
    """The server gave up a statement after `statement_timeout_s`; nothing has happened."""


class LockTimeoutError(StorageUnavailableError):
    """The server gave up waiting for a lock after `lock_timeout_s`; nothing has happened."""


class OutcomeUnknownError(StorageUnavailableError):
    """
    The connection was lost after COMMIT was sent: it has happened, or it has not.

    Who must know (the writer, by `batch_key`) asks again on a new connection; for the others it
    is as good as any other `StorageUnavailableError`, since what they do may be done twice.
    """


class Database:
    """
    PostgreSQL >= 15 behind a URL.

    Opens lazily, so that a process starts while the database is away, and reconnects by itself.
    Thread-safe.

    Args:
        url: `postgresql://…`.
        max_connections: how many transactions may run at a time; more wait for `wait_s`.
        statement_timeout_s: after it the server gives up a statement.
        lock_timeout_s: after it the server gives up waiting for a lock.
        wait_s: how long `connection` waits for a free or a new connection.
        application_name: what the server shows in pg_stat_activity.

    Raises:
        DatabaseUrlError: the URL is none.
    """

    def __init__(
        self,
        url: str,
        *,
        max_connections: int = 8,
        statement_timeout_s: float = 30.0,
        lock_timeout_s: float = 10.0,
        wait_s: float = 5.0,
        application_name: str = "hes",
    ) -> None:
        check_url(url)
        self._settings = {
            "statement_timeout": _milliseconds(statement_timeout_s),
            "lock_timeout": _milliseconds(lock_timeout_s),
            "idle_timeout": _milliseconds(2 * statement_timeout_s),
        }
        self._last_error: str | None = None
        self._made = 0
        self._counting = threading.Lock()
        self._opening = threading.Lock()
        self._opened = False
        self._closed = False
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            url,
            connection_class=_reporting_connection(self._note_error),
            kwargs={"application_name": application_name, "connect_timeout": 5, **_TRANSPORT},
            min_size=0,
            max_size=max_connections,
            open=False,
            configure=self._configure,
            timeout=wait_s,
            # Short, so that after an outage the next caller starts a new attempt at once instead
            # of waiting for one that backs off.
            reconnect_timeout=1.0,
            num_workers=2,
        )

    @contextmanager
    def connection(self, *, statement_timeout_s: float | None = None) -> Iterator[Connection]:
        """
        Lend a connection for one transaction: COMMIT at the end, ROLLBACK on any exception.

        Args:
            statement_timeout_s: another statement time-out for this transaction.

        Raises:
            StorageUnavailableError: no connection, a lost one, or a server that refused (time-out,
                deadlock, disk full, read-only, shutting down); nothing has happened. Of a
                time-out: StatementTimeoutError, LockTimeoutError.
            OutcomeUnknownError: the connection was lost while COMMIT was under way.
        """
        connection = self._lend()
        committing = False
        try:
            if statement_timeout_s is not None:
                connection.execute(
                    "SELECT set_config('statement_timeout', %s, true)",
                    (_milliseconds(statement_timeout_s),),
                )
            yield connection
            _refuse_failed(connection)
            committing = True
            connection.commit()
        except psycopg.Error as exc:
            if committing and connection.closed:
                raise OutcomeUnknownError(str(exc)) from exc
            _roll_back(connection)
            if not _is_unavailable(exc):
                raise
            if exc.sqlstate == _READ_ONLY:
                # The next connection may find the server that can be written to.
                connection.close()
            raise _ERRORS.get(exc.sqlstate or "", StorageUnavailableError)(str(exc)) from exc
        except BaseException:
            _roll_back(connection)
            raise
        finally:
            self._pool.putconn(connection)

    @property
    def made(self) -> int:
        """
        How many connections were made so far.

        While it stays the same, this is the same server: what was read on one connection may be
        remembered. A restore ends all connections, also those that lay idle.
        """
        return self._made

    def close(self) -> None:
        """Close all connections; using the database afterwards raises StorageUnavailableError."""
        with self._opening:
            self._closed = True
            self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _lend(self) -> Connection:
        try:
            if not self._opened:
                self._open()
            connection = self._pool.getconn()
            if not _has_ended(connection):
                return connection
            # Its server went away while it lay idle, and so did the others'. The pool would find
            # that out one by one, with a growing pause after each.
            connection.close()
            self._pool.putconn(connection)
            self._pool.drain()
            return self._pool.getconn()
        except PoolTimeout as exc:
            detail = self._last_error or "all connections are in use"
            raise StorageUnavailableError(f"{exc}: {detail}") from exc
        except (PoolClosed, psycopg.OperationalError) as exc:
            raise StorageUnavailableError(str(exc)) from exc

    def _open(self) -> None:
        with self._opening:
            if self._closed:
                raise PoolClosed("the database is closed")
            self._pool.open()
            self._opened = True

    def _configure(self, connection: Connection) -> None:
        connection.execute(_SETTINGS, self._settings)
        connection.commit()
        with self._counting:
            self._made += 1
        self._last_error = None

    def _note_error(self, error: Exception) -> None:
        # Errors about the URL itself quote it.
        is_told = isinstance(error, psycopg.OperationalError)
        self._last_error = str(error) if is_told else type(error).__name__


_ERRORS: Final[dict[str, type[StorageUnavailableError]]] = {
    _STATEMENT_TIMEOUT: StatementTimeoutError,
    _LOCK_TIMEOUT: LockTimeoutError,
}


def check_url(url: str) -> None:
    """
    See that a text is a database URL, so that no error of the driver's ever quotes parts of it.

    A password with `@`, `/` or `:` that is not percent-encoded would be taken for a host or a port.

    Raises:
        DatabaseUrlError: it is none.
    """
    is_url = _URL_FORM.fullmatch(url) is not None
    if is_url:
        try:
            conninfo_to_dict(url)
        except psycopg.Error:
            is_url = False
    # Raised here, so that the driver's error is not even its context.
    if not is_url:
        raise DatabaseUrlError(
            "the database URL is not of the form postgresql://user:password@host:port/database"
            " (in user and password, percent-encode what is neither letter nor digit)"
        )


def _is_unavailable(error: psycopg.Error) -> bool:
    """Whether the server, or the way to it, is at fault, and not what it was asked."""
    if error.sqlstate is None:
        return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    return error.sqlstate.startswith(_UNAVAILABLE)


def _reporting_connection(on_error: Callable[[Exception], None]) -> type[Connection]:
    """Make a connection class that tells why it could not connect; the pool only logs it."""

    class ReportingConnection(psycopg.Connection[tuple[Any, ...]]):
        @classmethod
        def connect(cls, *args: Any, **kwargs: Any) -> Self:
            try:
                return super().connect(*args, **kwargs)
            except psycopg.Error as exc:
                on_error(exc)
                raise

    return ReportingConnection


def _has_ended(connection: Connection) -> bool:
    """Tell whether the server ended an idle connection: then there is something to be read."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _refuse_failed(connection: Connection) -> None:
    if connection.info.transaction_status is TransactionStatus.INERROR:
        # Somebody caught a failed statement; COMMIT would roll back without a word.
        raise psycopg.errors.InFailedSqlTransaction("a statement failed and was ignored")


def _roll_back(connection: Connection) -> None:
    try:
        connection.rollback()
    except psycopg.Error:
        # Lost: the server has rolled back, or will when it notices. The pool discards it.
        connection.close()


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
