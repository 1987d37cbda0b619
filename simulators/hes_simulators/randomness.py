"""
Randomness without a state: a number for every (stream, counter), at any time, in any order.

Owns the mapping from names to streams and from counters to numbers. SplitMix64's output function
over `key + counter * golden gamma`: what the generator of that name would give as its
`counter`-th value, so a whole day or a whole year is one vectorised expression.

Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (OOPSLA 2014).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]
_Uint64Array = npt.NDArray[np.uint64]

_ONE, _GAMMA, _MIX_1, _MIX_2 = (
    np.array(number, np.uint64)
    for number in (1, 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
_SHIFT_1, _SHIFT_2, _SHIFT_3, _TO_53_BITS = (
    np.array(shift, np.uint64) for shift in (30, 27, 31, 11)
)
_UNIT: Final = np.array(2.0**-53)
_TWO_PI: Final = 2 * np.pi
_WRAP: Final = (1 << 64) - 1
# The second number of a normal pair is drawn 2^62 away, beyond every interval index. To go on by
# so many counters is to add this to the key.
_PAIR_KEY: Final = (0x9E3779B97F4A7C15 << 62) & _WRAP


def stream_key(*names: str | int) -> int:
    """The key of the stream called `names`; streams of different names are independent."""
    text = "/".join(map(str, names)).encode()
    return int.from_bytes(blake2b(text, digest_size=8, person=b"hes-sim-stream").digest(), "big")


def uniform(key: int, counters: Int64Array) -> FloatArray:
    """Numbers in [0, 1), one for each counter of the stream `key`."""
    z = _places(counters)
    np.add(z, np.uint64(key), z)
    return _numbers(z)


def uniforms(keys: Sequence[int], counters: Int64Array) -> FloatArray:
    """Those of several streams at once, one after the other: cheaper for few counters."""
    each = np.array(keys, np.uint64).reshape(-1, *(1,) * counters.ndim)
    return _numbers(each + _places(counters))


def one_uniform(key: int, counter: int) -> float:
    """One of them."""
    z = (key + (counter + 1) * 0x9E3779B97F4A7C15) & _WRAP
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & _WRAP
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & _WRAP
    return ((z ^ z >> 31) >> 11) * 2.0**-53


# In place and with constants that are arrays: half the time, and this is called often. Arrays
# wrap modulo 2^64, as they should, without a warning.
def _places(counters: Int64Array) -> _Uint64Array:
    z = counters.astype(np.uint64)
    np.add(z, _ONE, z)
    np.multiply(z, _GAMMA, z)
    return z


def _numbers(z: _Uint64Array) -> FloatArray:
    shifted = np.right_shift(z, _SHIFT_1)
    np.bitwise_xor(z, shifted, z)
    np.multiply(z, _MIX_1, z)
    np.right_shift(z, _SHIFT_2, shifted)
    np.bitwise_xor(z, shifted, z)
    np.multiply(z, _MIX_2, z)
    np.right_shift(z, _SHIFT_3, shifted)
    np.bitwise_xor(z, shifted, z)
    np.right_shift(z, _TO_53_BITS, z)
    numbers: FloatArray = np.multiply(z, _UNIT)
    return numbers


def normal(key: int, counters: Int64Array) -> FloatArray:
    """Standard normal numbers, one for each counter of the stream `key` (Box-Muller)."""
    first, second = uniforms(pair(key), counters)
    return normal_of(first, second)


def pair(key: int) -> tuple[int, int]:
    """The streams whose uniform numbers `normal` makes those of the stream `key` from."""
    return key, (key + _PAIR_KEY) & _WRAP


def normal_of(first: FloatArray, second: FloatArray) -> FloatArray:
    """Standard normal numbers from the uniform ones of a `pair`."""
    found: FloatArray = np.sqrt(-2.0 * np.log1p(-first)) * np.cos(_TWO_PI * second)
    return found


def one_normal(key: int, counter: int) -> float:
    """One of the stream's normal numbers."""
    first, second = (one_uniform(one, counter) for one in pair(key))
    return math.sqrt(-2.0 * math.log1p(-first)) * math.cos(_TWO_PI * second)
