"""
How often Python looks for objects that only hold each other, while a fleet serves.

A fleet keeps dozens of objects for each meter that anybody has looked at. Python, unless told
otherwise, would look through them again and again, after every 700 new ones, and a first look at
ten thousand meters would take a fifth more. Hardly anything here waits to be found: what a session
leaves goes with it.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_NEW_OBJECTS: Final = 20_000  # a few megabytes at most


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Look only after so many new objects; afterwards as before."""
    before = gc.get_threshold()
    gc.set_threshold(_NEW_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
