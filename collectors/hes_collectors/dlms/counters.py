"""
Our own invocation counters during one session.

Uniqueness of (key, own system title, counter) rests on one rule: a block is reserved durably
before its first counter is used, and what a lease does not use is discarded (architecture.md
section 5). A block is not kept for the next session: between two of our leases another collector
may have used a higher block, and the meter would refuse the rest of ours.

A meter may say that it expects higher counters than ours (`bootstrap`). What it says so is a hint:
blocks above it are used, and the regular counting follows only when the meter has shown who it is.
"""

from __future__ import annotations

from typing import Final

from hes.domain.errors import KeyUnavailableError, PermanentError
from hes.domain.meters import Meter
from hes.domain.ports import CounterBlock as ReservedBlock
from hes_collectors.dlms.context import Context
from hes_collectors.dlms.outcomes import CounterExhaustedError
from hes_protocol.security.counters import BlockCounters, CounterBlock

# The HLS reply takes one for its GMAC and one for the ciphered ACTION that carries it.
MOST_PER_APDU: Final = 2


class OwnCounters:
    """
    Gives each counter once, ever higher; reserves blocks as they are used up.

    Args: context: ports and threads. meter: whose association counts.
        needed: False for an association that ciphers nothing and so counts nothing.
        key_fingerprint: of the key that the session has loaded; no other key's counters are taken.
        block: reserved for this lease already.
    """

    def __init__(
        self,
        context: Context,
        meter: Meter,
        *,
        needed: bool,
        key_fingerprint: bytes | None = None,
        block: ReservedBlock | None = None,
    ) -> None:
        self._context = context
        self._meter = meter
        self._needed = needed
        self._key_fingerprint = key_fingerprint
        self._drawn = BlockCounters()
        if block is not None:
            self._drawn.add(CounterBlock(block.first, block.last + 1))
        self._above: int | None = None

    @property
    def ready(self) -> bool:
        """Whether one more APDU can be sent without reserving first."""
        return not self._needed or self._drawn.left >= MOST_PER_APDU

    async def ensure(self) -> None:
        """
        Reserve a new block unless the next APDU's counters are at hand.

        Raises: StorageUnavailableError, KeyUnavailableError, CounterExhaustedError.
        """
        if self.ready:
            return
        try:
            block = await self._context.outbound_threads.run(
                self._context.ports.counters.reserve,
                self._meter.meter_id,
                self._meter.association.client_sap,
                size=self._context.settings.counter_block_size,
                key_fingerprint=self._key_fingerprint,
                above=self._above,
            )
        except KeyUnavailableError:
            raise
        except PermanentError as error:
            raise CounterExhaustedError(str(error)) from error
        self._drawn.add(CounterBlock(block.first, block.last + 1))

    @property
    def highest(self) -> int:
        """The last one that was taken, or lay in a block whose rest is discarded; -1: none."""
        return self._drawn.highest

    def leap(self, above: int) -> None:
        """Count on above `above`; what is left of the block at hand is discarded."""
        self._drawn.discard()
        self._above = above

    async def keep(self) -> None:
        """
        The meter has taken counters from above a hint, and has shown who it is: they stand.

        Raises: StorageUnavailableError.
        """
        if self._above is None:
            return
        await self._context.outbound_threads.run(
            self._context.ports.counters.keep,
            self._meter.meter_id,
            self._meter.association.client_sap,
            self._drawn.highest,
            key_fingerprint=self._key_fingerprint,
        )
        self._above = None

    def take(self) -> int:
        """
        The next counter, for `hes_protocol.client`.

        Raises: LocalProtocolError: nobody called `ensure` before sending.
        """
        return self._drawn()
