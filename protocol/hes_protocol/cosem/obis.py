"""OBIS codes and logical names: the six value groups A to F (IEC 62056-6-1)."""

from __future__ import annotations

import re

import attrs

_DOTTED = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})")
_CLASSIC = re.compile(
    r"(?:(\d{1,3})-)?(?:(\d{1,3}):)?(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?(?:[*&](\d{1,3}))?"
)


def _octets(value: bytes) -> bytes:
    if len(value) != 6:
        raise ValueError(f"an OBIS code has six octets, not {len(value)}")
    return bytes(value)


@attrs.frozen(order=True, repr=False)
class Obis:
    """
    A logical name: six octets, written dotted, `1.0.1.8.0.255`.

    Raises: ValueError: not six octets.
    """

    octets: bytes = attrs.field(converter=_octets)

    @classmethod
    def parse(cls, text: str) -> Obis:
        """
        Read `1.0.1.8.0.255` or the classic form `1-0:1.8.0*255` (A, B, E, F may be missing).

        Raises: ValueError: neither form, or a group above 255.
        """
        if match := _DOTTED.fullmatch(text):
            groups = [int(group) for group in match.groups()]
        elif match := _CLASSIC.fullmatch(text):
            defaults = (0, 0, 0, 0, 255, 255)
            groups = [
                default if group is None else int(group)
                for group, default in zip(match.groups(), defaults, strict=True)
            ]
        else:
            raise ValueError(f"no OBIS code: {text!r}")
        if max(groups) > 255:
            raise ValueError(f"no OBIS code: {text!r}")
        return cls(bytes(groups))

    def __str__(self) -> str:
        return ".".join(map(str, self.octets))

    def __repr__(self) -> str:
        return f"Obis({self})"
