"""
Images of simulated firmware: what a head-end transfers and a simulated meter verifies.

Owns the format, which is nobody's but ours and no security: real images are signed by their makers.

| octets | what |
|---|---|
| 4 | `HESI` |
| 1 + n | length and name of the meter model, empty for all, ASCII |
| 1 + n | length and version, ASCII |
| any | the firmware, of no meaning |
| 32 | SHA-256 of everything before |
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import attrs

from hes_protocol.errors import EncodingError

_MAGIC: Final = b"HESI"
_DIGEST_OCTETS: Final = 32
_MOST_NAME: Final = 255


@attrs.frozen
class Image:
    """What an image says of itself; `signature` is its digest."""

    model: str
    version: str
    signature: bytes


def make_image(version: str, *, model: str = "", octets: int = 0, fill: int = 0x5A) -> bytes:
    """
    An image that verifies.

    Args: octets: of firmware in it.
    Raises: ValueError: a name of more than 255 characters, or other than ASCII.
    """
    content = bytearray(_MAGIC)
    for name in (model, version):
        text = name.encode("ascii")
        if len(text) > _MOST_NAME:
            raise ValueError(f"{name!r} is too long for an image")
        content += bytes((len(text),)) + text
    content += bytes((fill,)) * octets
    return bytes(content) + sha256(content).digest()


def read_image(octets: bytes) -> Image:
    """
    Verify an image.

    Raises: EncodingError: "bad-image": another format, cut short, or the digest is wrong.
    """
    content, digest = octets[:-_DIGEST_OCTETS], octets[-_DIGEST_OCTETS:]
    if not content.startswith(_MAGIC) or sha256(content).digest() != digest:
        raise EncodingError("bad-image", "no image, or another one than its digest says")
    names, offset = [], len(_MAGIC)
    for _ in range(2):
        length = content[offset] if offset < len(content) else len(content)
        name = content[offset + 1 : offset + 1 + length]
        if len(name) != length or not name.isascii():
            raise EncodingError("bad-image", "no names", offset=offset)
        names.append(name.decode())
        offset += 1 + length
    model, version = names
    return Image(model, version, digest)
