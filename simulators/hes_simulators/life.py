"""
What happens to a meter by itself as time goes by: each thing at its moment, in order.

Owns how far ahead the objects of its living classes (`classes.LivingClass`) are asked, and how much
happens in one go. What it is, and when, they know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hes_simulators.clock import DAY_S, SECOND_US

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

NOT_KNOWN: Final = -1
"""As `Meter.quiet_us`: something has changed since anything was asked."""

# So far ahead is asked for what is due, that a meter which is read often need not ask again;
# further where nothing happens, for a meter at which nobody has looked for long; not at all after
# a change, as another may follow at once: power fails, a last gasp goes out.
_AHEAD_US: Final = 900 * SECOND_US
_FURTHEST_US: Final = 2 * DAY_S * SECOND_US
# So much happens by itself in one go; a meter that a client made do more comes after: it lags, and
# catches up as it is looked at, while the others are served.
_MOST_AT_ONCE: Final = 500


def live(meter: Meter, to_us: int) -> tuple[int, int]:
    """
    Let happen what is due until a moment; meanwhile it is `meter.now_us`.

    Returns: the moment that was reached, and `Meter.quiet_us` as it is from now on.
    """
    state, living = meter.state, meter.kind.living
    happened = 0
    after_us = state.advanced_us or 0
    ahead_us = 0 if meter.quiet_us == NOT_KNOWN else _AHEAD_US
    window_us = _AHEAD_US
    while after_us <= to_us:
        # Not all at once: after each event everything is asked for again.
        until_us = min(after_us + window_us, to_us + ahead_us)
        due = [
            (at_us, place)
            for place, (one, known) in enumerate(living)
            if (at_us := known.due_us(meter, one, after_us, until_us)) is not None
        ]
        first_us = min(due)[0] if due else until_us + 1
        if first_us > to_us:
            return to_us, first_us - 1
        if not due:
            after_us, window_us = until_us, min(2 * window_us, _FURTHEST_US)
            continue
        window_us = _AHEAD_US
        meter.now_us = state.advanced_us = after_us = first_us
        for at_us, place in due:
            one, known = living[place]
            # What the first of them did may have called the others off.
            if at_us == first_us and known.due_us(meter, one, first_us - 1, first_us):
                known.happen(meter, one, first_us)
                happened += 1
        if happened >= _MOST_AT_ONCE:
            return first_us, NOT_KNOWN
    return to_us, meter.quiet_us
