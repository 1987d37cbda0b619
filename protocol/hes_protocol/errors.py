"""
What can go wrong, and whose fault it is.

Rule 1: `LocalProtocolError` is our bug: an event sent in a state that does not allow it, a value
that has no encoding. Rule 2: `RemoteProtocolError` is the peer's doing: any octet string
whatsoever that arrives raises this or nothing. Rule 3: errors carry facts (code, offset, APDU
tag), never octets of keys, passwords or deciphered APDUs. Rule 4: an answer is no error:
`object-undefined` arrives as a `data_access_result` in the event.
"""

from __future__ import annotations


class ProtocolError(Exception):
    """Root of everything that this package raises."""


class LocalProtocolError(ProtocolError):
    """We asked for something that the protocol, or the state we are in, does not allow."""


class RemoteProtocolError(ProtocolError):
    """
    The peer sent something that the protocol does not allow.

    Args:
        code: a stable kebab-case name of the failure, e.g. "bad-fcs".
        detail: one short sentence for a person; no secrets, no payload.
        offset: octet offset in the buffer that was being read, where one is known.
        apdu_tag: first octet of the APDU concerned, where one is known.
    """

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        offset: int | None = None,
        apdu_tag: int | None = None,
    ) -> None:
        super().__init__(code, detail, offset, apdu_tag)
        self.code = code
        self.detail = detail
        self.offset = offset
        self.apdu_tag = apdu_tag

    def __str__(self) -> str:
        where = "" if self.offset is None else f" at octet {self.offset}"
        what = "" if self.apdu_tag is None else f" in APDU 0x{self.apdu_tag:02x}"
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.code}{what}{where}{detail}"


class FramingError(RemoteProtocolError):
    """Octets that are no frame: wrapper header, HDLC format, HCS, FCS, LLC."""


class EncodingError(RemoteProtocolError):
    """Octets that are no value: unknown tag, bad length, left-over octets (A-XDR, BER)."""


class TruncatedError(EncodingError):
    """The octets end before what their own tags and lengths promise."""


class LimitError(RemoteProtocolError):
    """Too deep, too many, too long: refused before anything is allocated for it."""


class SecurityError(RemoteProtocolError):
    """
    Protection is missing, weaker than the policy, or does not verify; nothing has changed.

    Codes: "tag-mismatch", "counter-replayed", "key-missing", "policy-violated",
    "system-title-mismatch", "mechanism-mismatch", "authentication-failed", "suite-unsupported",
    "key-unwrap".
    """


class AssociationError(RemoteProtocolError):
    """The peer refused the association, or sent an APDU that the association's state forbids."""
