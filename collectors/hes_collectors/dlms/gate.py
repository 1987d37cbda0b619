"""
What allows a session to go on: its lease, and storage that can take what it brings.

While storage is away, nobody is asked.

Whoever meets a `StorageUnavailableError` reports it here, which shuts the gate; whoever then
succeeds opens it again. The outbound loop probes by taking leases, inbound connections by
publishing what they hold.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import trio

from hes.domain.errors import LeaseLostError, OverloadedError, StorageUnavailableError


class StorageGate:
    """
    An open or shut gate for one collector's tasks.

    Args: on_shut, on_open: called each time the gate goes from open to shut, and back.
    """

    def __init__(
        self,
        on_shut: Callable[[], None] = lambda: None,
        on_open: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_shut = on_shut
        self._on_open = on_open
        self._opened: trio.Event | None = None

    @property
    def is_open(self) -> bool:
        """False from a failure until the next success."""
        return self._opened is None

    def report(self, error: StorageUnavailableError) -> None:
        """
        Shut, unless there was merely no room for one batch.

        Whoever had that batch has waited for a place and comes again later; all others go on: what
        is more urgent is still taken, and what is shed is shed to make room for it.
        """
        if not isinstance(error, OverloadedError):
            self.shut()

    def shut(self) -> None:
        """Storage has refused or cannot be reached."""
        if self._opened is None:
            self._opened = trio.Event()
            self._on_shut()

    def open(self) -> None:
        """Storage has answered."""
        if self._opened is not None:
            self._opened.set()
            self._opened = None
            self._on_open()

    def check(self) -> None:
        """
        Go on only while the gate is open.

        Raises: StorageUnavailableError: it is shut.
        """
        if self._opened is not None:
            raise StorageUnavailableError("collection is paused: storage is away")

    async def wait_open(self) -> None:
        """Wait until somebody has found storage back."""
        if self._opened is not None:
            await self._opened.wait()


@attrs.frozen
class LeaseGuard:
    """
    What a session looks at right before each APDU leaves.

    `until` is on trio's clock and was taken before the lease was asked for, so that it ends
    before the database's idea of the lease does.
    """

    until: float
    gate: StorageGate

    def check_lease(self) -> None:
        """
        Go on only while the lease is ours.

        Raises: LeaseLostError: it has run out; somebody else may talk to the meter now.
        """
        if trio.current_time() >= self.until:
            raise LeaseLostError("the lease ran out")

    def check(self) -> None:
        """
        Go on only while the lease is ours and storage can take what the meter answers.

        Raises: LeaseLostError, StorageUnavailableError.
        """
        self.check_lease()
        self.gate.check()
