"""
How often a fleet was started: what keeps invocation counters from ever going back.

Owns one small file per seed (equal seeds have equal keys). Its number is raised durably before
the first frame is sent, and each start has counters of its own, `start_number << 20` and upward:
4,095 starts of a million frames per meter, without writing anything while the fleet runs.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

COUNTER_BITS: Final = 32
FRAMES_BITS: Final = 20
LAST_START: Final = (1 << (COUNTER_BITS - FRAMES_BITS)) - 1


class StartsError(Exception):
    """No start number is safe: the text says why, and what to do."""


def next_start(folder: Path, seed: int) -> int:
    """
    Count one start of the fleet `seed`.

    Args: folder: where the file lives; made when missing.
    Returns: a number that no other start of this seed was given, above all before it.
    Raises: StartsError: the counters are used up, or the file holds no number, so that no safe
        one is known. OSError: the file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"starts-{seed}"
    with (folder / f"starts-{seed}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        number = _last_start(path) + 1
        if number > LAST_START:
            raise StartsError(f"seed {seed} was started {LAST_START} times: use another")
        _write_durably(path, f"{number}\n")
    return number


def first_counter(start_number: int) -> int:
    """The lowest invocation counter that the meters of this start may use."""
    return start_number << FRAMES_BITS


def _last_start(path: Path) -> int:
    if not path.exists():
        return 0
    text = path.read_text().strip()
    if not text.isdecimal():
        raise StartsError(f"{path} holds no number: use another seed, or remove it with the keys")
    return int(text)


def _write_durably(path: Path, text: str) -> None:
    """Write beside, sync, and rename: after a power cut the file holds the old text or the new."""
    beside = path.with_suffix(".new")
    with beside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
