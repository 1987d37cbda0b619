"""
Randomness without a state: a number for every (stream, counter), at any time, in any order.

Owns the mapping from names to streams and from counters to numbers. SplitMix64's output function
over `key + counter * golden gamma`: what the generator of that name would give as its
`counter`-th value, so a whole day or a whole year is one vectorised expression.

Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (OOPSLA 2014).
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)
_TWO_PI: Final = 2 * np.pi
# The second number of a normal pair is drawn this far away, beyond every interval index.
_PAIR_OFFSET: Final = 1 << 62


def stream_key(*names: str | int) -> int:
    """The key of the stream called `names`; streams of different names are independent."""
    text = "/".join(map(str, names)).encode()
    return int.from_bytes(blake2b(text, digest_size=8, person=b"hes-sim-stream").digest(), "big")


def uniform(key: int, counters: Int64Array) -> FloatArray:
    """Numbers in [0, 1), one for each counter of the stream `key`."""
    with np.errstate(over="ignore"):  # the arithmetic is modulo 2^64 by design
        z = np.uint64(key) + (counters.astype(np.uint64) + np.uint64(1)) * _GAMMA
        z = (z ^ (z >> np.uint64(30))) * _MIX_1
        z = (z ^ (z >> np.uint64(27))) * _MIX_2
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(key: int, counters: Int64Array) -> FloatArray:
    """Standard normal numbers, one for each counter of the stream `key` (Box-Muller)."""
    radius = np.sqrt(-2.0 * np.log1p(-uniform(key, counters)))
    return radius * np.cos(_TWO_PI * uniform(key, counters + _PAIR_OFFSET))
