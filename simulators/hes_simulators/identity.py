"""
Who a simulated meter is: serial, system title, keys.

All of it follows from (seed, index). Two seeds share serials and titles but no key, so a frame
of one fleet never verifies in another. The keys protect nothing real and may be printed.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import attrs

MANUFACTURER: Final = "HES"
LLS_SECRET: Final = b"00000000"
_KEY_OCTETS: Final = 16


@attrs.frozen
class Identity:
    """
    One meter's names and keys.

    `index` counts from 0, the number in `serial` and `system_title` from 1. `encryption_key` is
    the global unicast encryption key, `hls_secret` that of MD5, SHA-1 and SHA-256.
    """

    index: int
    encryption_key: bytes = attrs.field(repr=False)
    authentication_key: bytes = attrs.field(repr=False)
    hls_secret: bytes = attrs.field(repr=False)
    maker_code: str = MANUFACTURER

    @classmethod
    def of(cls, seed: int, index: int, maker_code: str = MANUFACTURER) -> Identity:
        """Meter `index` of the fleet `seed`; `maker_code`: three letters of its model's maker."""
        ek, ak, hls = (_key(seed, index, purpose) for purpose in ("ek", "ak", "hls"))
        return cls(index, ek, ak, hls, maker_code)

    @property
    def serial(self) -> str:
        """Manufacturer and eight digits, as printed on the meter."""
        return f"{self.maker_code}{self.index + 1:08d}"

    @property
    def system_title(self) -> bytes:
        """Three letters of the manufacturer, five octets of the serial number."""
        return self.maker_code.encode() + (self.index + 1).to_bytes(5, "big")

    @property
    def logical_device_name(self) -> bytes:
        """Up to 16 octets that begin with the manufacturer (IEC 62056-6-2)."""
        return self.serial.encode()


def _key(seed: int, index: int, purpose: str) -> bytes:
    name = f"{seed}/{index}/{purpose}".encode()
    return blake2b(name, digest_size=_KEY_OCTETS, person=b"hes-sim-key").digest()
