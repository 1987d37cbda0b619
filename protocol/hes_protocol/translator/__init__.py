"""
Octets of any transport -> frames, APDUs and readings: the engineer's view.

Unlike an association, which refuses what its policy forbids, the translator shows whatever can be
read: it opens ciphered APDUs with the keys it is given, says whether the tag was verified, puts
segments and blocks together, names the values of responses by the requests before them, goes on
after a frame that is broken, and shows what has come of an APDU that ends early. It keeps nothing
and trusts nothing; nobody may act on its answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from hes_protocol.models import PushLayout
from hes_protocol.translator.framing import carried, detect
from hes_protocol.translator.result import (
    Content,
    Fragment,
    TranslatedApdu,
    TranslatedReading,
    Translation,
    TranslatorKeys,
    TransportKind,
)
from hes_protocol.translator.session import Session

__all__ = [
    "Content",
    "Fragment",
    "TranslatedApdu",
    "TranslatedReading",
    "Translation",
    "TranslatorKeys",
    "TransportKind",
    "detect",
    "translate",
]


def translate(
    octets: bytes | Sequence[bytes],
    transport: TransportKind = TransportKind.AUTO,
    keys: TranslatorKeys | None = None,
    layouts: Sequence[PushLayout] = (),
) -> Translation:
    """
    Read octets, whatever they are.

    Args:
        octets: a stream, or a sequence of datagrams (for transports that do not delimit).
        transport: the framing; AUTO looks at the first octets.
        keys: to open ciphered APDUs with.
        layouts: push layouts of meter models, see `hes_protocol.push`.
    Returns: what could be read, whether it was all, and what was broken.
    """
    datagrams = (octets,) if isinstance(octets, bytes) else tuple(octets)
    if transport is TransportKind.AUTO:
        transport = detect(b"".join(datagrams))
    session = Session(transport, keys or TranslatorKeys(), layouts)
    session.read(carried(transport, datagrams, session.report))
    return session.result()
