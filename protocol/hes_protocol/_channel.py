"""
How one side protects what it sends and checks what it receives; the same for both roles.

Owns the keys' cipher object, both system titles, and the highest counters of both sides. Rule 1:
`open` changes nothing; whoever called it says `commit` when the APDU is accepted. Rule 2: policy,
tag, counter, in this order, and no octet of the APDU is looked at before. Rule 3: a counter that
no tag vouches for never becomes `peer_counter`; it is only remembered for as long as the
association lasts, so that such an APDU cannot be played twice in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from hes_protocol.axdr import write_length
from hes_protocol.errors import LocalProtocolError, SecurityError
from hes_protocol.security import Protection, SuiteKeys, protect, unprotect
from hes_protocol.security.suite0 import HEADER_OCTETS, SYSTEM_TITLE_OCTETS, TAG_OCTETS
from hes_protocol.xdlms.ciphered import (
    GENERAL_DED,
    GENERAL_GLO,
    GLO_TAGS,
    PLAIN_TAGS,
    Ciphered,
    decode_ciphered,
)

_CIPHERED_TAGS: Final = frozenset({GENERAL_GLO, GENERAL_DED, *PLAIN_TAGS})


@attrs.frozen
class Opened:
    """A received APDU after policy, tag and counter; `general` if it came by general ciphering."""

    apdu: bytes = attrs.field(repr=False)
    protection: Protection = Protection.PLAIN
    authenticated: bool = False
    invocation_counter: int | None = None
    general: bool = False


def is_ciphered(octets: bytes) -> bool:
    """Whether an APDU's first octet says that it is ciphered."""
    return octets[:1] != b"" and octets[0] in _CIPHERED_TAGS


class Channel:
    """
    Protection in both directions.

    Args:
        keys: None where nothing can be ciphered.
        system_title: ours, None where we have none.
        minimum: the least protection of what is received.
        next_counter: gives our counters, ever higher.
    """

    def __init__(
        self,
        keys: SuiteKeys | None,
        system_title: bytes | None,
        minimum: Protection,
        next_counter: Callable[[], int],
    ) -> None:
        self.keys = keys
        self.system_title = system_title
        self.minimum = minimum
        self.peer_title: bytes | None = None
        self.peer_counter: int | None = None
        self._unverified_counter = -1
        self._next_counter = next_counter
        self._own_counter = -1

    def begin(self) -> None:
        """A new association: what no tag vouched for is forgotten."""
        self._unverified_counter = -1

    # --- what we send -----------------------------------------------------------------------

    def draw_counter(self) -> int:
        """
        Our next counter.

        Raises: LocalProtocolError: the source gave one that is not above the last one: sending
            would use a pair of key and initialization vector twice.
        """
        counter = self._next_counter()
        if counter <= self._own_counter:
            raise LocalProtocolError("the next invocation counter is not above the last one")
        self._own_counter = counter
        return counter

    def protect(self, apdu: bytes, protection: Protection, *, general: bool = False) -> bytes:
        """
        Cipher an APDU with its service's tag, or in the general form where it has none.

        Draws a counter unless `protection` is PLAIN.

        Raises: LocalProtocolError: no keys, no system title, or no fresh counter.
        """
        if protection is Protection.PLAIN:
            return apdu
        keys, title = self.require_keys()
        tag = GENERAL_GLO if general else GLO_TAGS.get(apdu[0], GENERAL_GLO)
        content = protect(keys, title, protection, self.draw_counter(), apdu)
        return Ciphered(tag, content, title if tag == GENERAL_GLO else None).encode()

    def require_keys(self) -> tuple[SuiteKeys, bytes]:
        """
        Keys and our system title.

        Raises: LocalProtocolError: one of them is missing.
        """
        if self.keys is None or self.system_title is None:
            raise LocalProtocolError("ciphering needs keys and a system title")
        return self.keys, self.system_title

    # --- what we receive --------------------------------------------------------------------

    def open(self, octets: bytes, *, peer_title: bytes | None = None) -> Opened:
        """
        Check an APDU against the policy, verify its tag, then its counter. Changes nothing.

        Args: octets: one APDU, not empty. peer_title: the sender's system title, where it is
            learnt only now; else the one that is known.
        Raises: SecurityError: too weak, wrong tag, counter not above the last one, wrong title,
            no key, another suite. EncodingError: no such APDU.
        """
        if not is_ciphered(octets):
            if self.minimum is not Protection.PLAIN:
                raise SecurityError(
                    "policy-violated", "plaintext", apdu_tag=octets[0] if octets else None
                )
            return Opened(octets)
        ciphered = decode_ciphered(octets)
        keys, title = self._check_header(ciphered, peer_title or self.peer_title)
        opened = unprotect(keys, title, ciphered.content)
        known = -1 if self.peer_counter is None else self.peer_counter
        if opened.invocation_counter <= max(known, self._unverified_counter):
            raise SecurityError("counter-replayed", apdu_tag=ciphered.tag)
        self._check_inner(ciphered, opened.plaintext)
        return Opened(
            opened.plaintext,
            opened.control.protection,
            opened.authenticated,
            opened.invocation_counter,
            ciphered.general,
        )

    def _check_header(
        self, ciphered: Ciphered, peer_title: bytes | None
    ) -> tuple[SuiteKeys, bytes]:
        control = ciphered.control
        if not control.protection.covers(self.minimum):
            raise SecurityError("policy-violated", "weaker protection", apdu_tag=ciphered.tag)
        if control.suite != 0:
            raise SecurityError("suite-unsupported", f"suite {control.suite}")
        if self.keys is None or control.broadcast or ciphered.dedicated:
            raise SecurityError("key-missing", "no key of this kind", apdu_tag=ciphered.tag)
        title = ciphered.system_title or peer_title
        if title is None or (peer_title is not None and title != peer_title):
            raise SecurityError("system-title-mismatch", apdu_tag=ciphered.tag)
        if title == self.system_title:
            # Our own APDUs come back: with the same key their tags would verify.
            raise SecurityError("system-title-mismatch", "our own", apdu_tag=ciphered.tag)
        return self.keys, title

    def _check_inner(self, ciphered: Ciphered, plaintext: bytes) -> None:
        # The outer tag is not authenticated: what it says must not decide what the APDU is.
        inner = plaintext[0] if plaintext else None
        wrong = inner != ciphered.plain_tag if ciphered.plain_tag is not None else inner is None
        if wrong or is_ciphered(plaintext):
            raise SecurityError(
                "policy-violated", "another APDU than its tag says", apdu_tag=ciphered.tag
            )

    def commit(self, opened: Opened) -> None:
        """Accept what `open` gave: its counter, if it had one, is used up."""
        if opened.invocation_counter is None:
            return
        if opened.authenticated:
            self.commit_counter(opened.invocation_counter)
        else:
            self._unverified_counter = max(self._unverified_counter, opened.invocation_counter)

    def commit_counter(self, counter: int) -> None:
        """Accept a verified counter of the peer."""
        known = -1 if self.peer_counter is None else self.peer_counter
        self.peer_counter = max(known, counter)


def room(limit: int, protection: Protection, *, general: bool) -> int:
    """
    How long an APDU may be so that it is not above `limit` octets when it is ciphered.

    Args: limit: max_receive_pdu_size of the receiver, above 0. protection, general: how it goes.
    Returns: octets, possibly negative where not even the header fits.
    """
    if protection is Protection.PLAIN:
        return limit
    overhead = 1 + len(write_length(limit)) + HEADER_OCTETS
    if protection.authenticated:
        overhead += TAG_OCTETS
    if general:
        overhead += 1 + SYSTEM_TITLE_OCTETS
    return limit - overhead
