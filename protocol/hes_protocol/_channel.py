"""
How one side protects what it sends and checks what it receives; the same for both roles.

Owns the keys' cipher objects, both system titles, and the highest counters of both sides. Rule 1:
`open` changes nothing; whoever called it says `commit` when the APDU is accepted. Rule 2: policy,
tag, counter, in this order, and no octet of the APDU is looked at before. Rule 3: a counter that
no tag vouches for never becomes `peer_counter`; it is only remembered for as long as the
association lasts, so that such an APDU cannot be played twice in it. Rule 4: a counter belongs to
a key. The peer's are checked per key: the dedicated key's begin anew with the key and end with
it, and the broadcast key, which every meter of a group knows, cannot move the unicast key's. Ours
all come from one source, so that no key ever sees one twice (IEC 62056-5-3, "invocation counter").
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from functools import lru_cache
from typing import Final, NamedTuple, NoReturn

from hes_protocol.axdr import write_length
from hes_protocol.errors import LocalProtocolError, SecurityError
from hes_protocol.security import Protection, SuiteKeys, open_content, protect
from hes_protocol.security.control import CONTROLS, SUPPORTED, SecurityControl
from hes_protocol.security.suite0 import HEADER_OCTETS, SYSTEM_TITLE_OCTETS, TAG_OCTETS
from hes_protocol.xdlms.ciphered import (
    DEDICATED,
    FORMS,
    GENERAL_DED,
    GENERAL_GLO,
    PLAIN_TAGS,
    CipherForm,
    join_ciphered,
    split_ciphered,
)

_PLAIN: Final = Protection.PLAIN
_CIPHERED_TAGS: Final = frozenset({GENERAL_GLO, GENERAL_DED, *PLAIN_TAGS})
_BROADCAST: Final = 0x40
_AUTHENTICATED: Final = int(Protection.AUTHENTICATED)


class KeyKind(Enum):
    """Which of the association's encryption keys."""

    UNICAST = auto()
    BROADCAST = auto()
    DEDICATED = auto()

    # Enum's own hashes the name, in Python: keys are looked up for every APDU.
    __hash__ = object.__hash__


class Opened(NamedTuple):
    """
    A received APDU after policy, tag and counter; `form` and `key` say how it was ciphered.

    A tuple, since one is made for every APDU and a frozen class takes three times as long.
    """

    apdu: bytes
    protection: Protection = Protection.PLAIN
    authenticated: bool = False
    invocation_counter: int | None = None
    form: CipherForm = CipherForm.GLO
    key: KeyKind = KeyKind.UNICAST

    def __repr__(self) -> str:
        return f"Opened(protection={self.protection!r}, form={self.form!r}, key={self.key!r})"


def is_ciphered(octets: bytes) -> bool:
    """Whether an APDU's first octet says that it is ciphered."""
    return octets[:1] != b"" and octets[0] in _CIPHERED_TAGS


class Channel:
    """
    Protection in both directions.

    Args:
        keys: global unicast; None where nothing can be ciphered.
        system_title: ours, None where we have none.
        minimum: the least protection of what is received.
        next_counter: gives our counters, ever higher.
        broadcast_key: None where no APDU may be ciphered with one.
    """

    def __init__(
        self,
        keys: SuiteKeys | None,
        system_title: bytes | None,
        minimum: Protection,
        next_counter: Callable[[], int],
        *,
        broadcast_key: bytes | None = None,
    ) -> None:
        self._keys: dict[KeyKind, SuiteKeys] = {}
        if keys is not None:
            self._keys[KeyKind.UNICAST] = keys
            if broadcast_key is not None:
                self._keys[KeyKind.BROADCAST] = keys.with_encryption_key(broadcast_key)
        self.system_title = system_title
        self.minimum = minimum
        self._allowed = _ALLOWED[minimum]
        self.peer_title: bytes | None = None
        # The peer's highest counters by key: those that tags have verified, and all others.
        self._verified: dict[KeyKind, int] = {}
        self._unverified: dict[KeyKind, int] = {}
        self._next_counter = next_counter
        self._own_counter = -1

    def begin(self, dedicated_key: bytes | None = None) -> None:
        """
        A new association: what no tag vouched for is forgotten, and so is the dedicated key.

        Args: dedicated_key: the association's, never used before.
        Raises: LocalProtocolError: not 16 octets, or no global keys beside it.
        """
        self._unverified.clear()
        self._verified.pop(KeyKind.DEDICATED, None)
        self._keys.pop(KeyKind.DEDICATED, None)
        if dedicated_key is not None:
            keys, _ = self.require_keys()
            self._keys[KeyKind.DEDICATED] = keys.with_encryption_key(dedicated_key)

    @property
    def keys(self) -> SuiteKeys | None:
        """The global unicast keys, None where nothing can be ciphered."""
        return self._keys.get(KeyKind.UNICAST)

    def has_key(self, kind: KeyKind) -> bool:
        """Whether there is such a key: only then there are counters."""
        return kind in self._keys

    @property
    def peer_counter(self) -> int | None:
        """The peer's highest verified counter under the global unicast key, None for none yet."""
        return self.verified(KeyKind.UNICAST)

    @peer_counter.setter
    def peer_counter(self, counter: int | None) -> None:
        self.set_verified(KeyKind.UNICAST, counter)

    def verified(self, kind: KeyKind) -> int | None:
        """The peer's highest verified counter under one key, None for none yet."""
        return self._verified.get(kind)

    def set_verified(self, kind: KeyKind, counter: int | None) -> None:
        """Take over what was verified before this channel was made."""
        if counter is None:
            self._verified.pop(kind, None)
        else:
            self._verified[kind] = counter

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

    def protect(
        self, apdu: bytes, protection: Protection, form: CipherForm = CipherForm.GLO
    ) -> bytes:
        """
        Cipher an APDU in `form`, or generally where its service has no tag of its own.

        Draws a counter unless `protection` is PLAIN.

        Raises: LocalProtocolError: no keys, no system title, or no fresh counter.
        """
        if protection is _PLAIN:
            return apdu
        keys, title = self.require_keys()
        if form.dedicated:
            dedicated = self._keys.get(KeyKind.DEDICATED)
            if dedicated is None:
                raise LocalProtocolError("this association has no dedicated key")
            keys = dedicated
        tag = form.tag(apdu[0])
        content = protect(keys, title, protection, self.draw_counter(), apdu)
        named = tag in (GENERAL_GLO, GENERAL_DED)
        return join_ciphered(tag, title if named else None, content)

    def require_keys(self) -> tuple[SuiteKeys, bytes]:
        """
        Global unicast keys and our system title.

        Raises: LocalProtocolError: one of them is missing.
        """
        keys = self._keys.get(KeyKind.UNICAST)
        if keys is None or self.system_title is None:
            raise LocalProtocolError("ciphering needs keys and a system title")
        return keys, self.system_title

    # --- what we receive --------------------------------------------------------------------

    def open(self, octets: bytes, *, peer_title: bytes | None = None) -> Opened:
        """
        Check an APDU against the policy, verify its tag, then its counter. Changes nothing.

        Args: octets: one APDU, not empty. peer_title: the sender's system title, where it is
            learnt only now; else the one that is known.
        Raises: SecurityError: too weak, wrong tag, counter not above the last one, wrong title,
            no key, another suite. EncodingError: no such APDU.
        """
        if not octets or octets[0] not in _CIPHERED_TAGS:
            if self.minimum is not _PLAIN:
                raise SecurityError(
                    "policy-violated", "plaintext", apdu_tag=octets[0] if octets else None
                )
            return Opened(octets)
        tag, named, content = split_ciphered(octets)
        if content[0] not in self._allowed:
            self._refuse(content[0], tag)
        kind = _kind(tag, content[0])
        keys = self._keys.get(kind)
        if keys is None:
            raise SecurityError("key-missing", "no key of this kind", apdu_tag=tag)
        title = self._title_of(named, peer_title or self.peer_title, tag)
        plaintext = open_content(keys, title, content)
        counter = int.from_bytes(content[1:HEADER_OCTETS], "big")
        if counter <= self._verified.get(kind, -1) or counter <= self._unverified.get(kind, -1):
            raise SecurityError("counter-replayed", apdu_tag=tag)
        _check_inner(tag, plaintext)
        protection = CONTROLS[content[0]].protection
        tagged = content[0] & _AUTHENTICATED != 0
        return Opened(plaintext, protection, tagged, counter, FORMS[tag], kind)

    def _refuse(self, octet: int, tag: int) -> NoReturn:
        control = SecurityControl.from_octet(octet)
        if not control.protection.covers(self.minimum):
            raise SecurityError("policy-violated", "weaker protection", apdu_tag=tag)
        raise SecurityError("suite-unsupported", f"suite {control.suite}", apdu_tag=tag)

    def _title_of(self, named: bytes | None, known: bytes | None, tag: int) -> bytes:
        title = named or known
        if title is None or (known is not None and title != known):
            raise SecurityError("system-title-mismatch", apdu_tag=tag)
        if title == self.system_title:
            # Our own APDUs come back: with the same key their tags would verify.
            raise SecurityError("system-title-mismatch", "our own", apdu_tag=tag)
        return title

    def commit(self, opened: Opened) -> None:
        """Accept what `open` gave: its counter, if it had one, is used up."""
        counter = opened.invocation_counter
        if counter is None:
            return
        highest = self._verified if opened.authenticated else self._unverified
        highest[opened.key] = max(highest.get(opened.key, -1), counter)

    def commit_counter(self, counter: int) -> None:
        """Accept a verified counter of the peer under the global unicast key."""
        self._verified[KeyKind.UNICAST] = max(self._verified.get(KeyKind.UNICAST, -1), counter)


def _kind(tag: int, octet: int) -> KeyKind:
    if not octet & _BROADCAST:
        return KeyKind.DEDICATED if tag in DEDICATED else KeyKind.UNICAST
    if tag in DEDICATED:
        raise SecurityError("key-missing", "dedicated and broadcast", apdu_tag=tag)
    return KeyKind.BROADCAST


def _check_inner(tag: int, plaintext: bytes) -> None:
    # The outer tag is not authenticated: what it says must not decide what the APDU is.
    due = PLAIN_TAGS.get(tag)
    inner = plaintext[0] if plaintext else None
    if inner is None or inner in _CIPHERED_TAGS or (due is not None and inner != due):
        raise SecurityError("policy-violated", "another APDU than its tag says", apdu_tag=tag)


def _allowed(minimum: Protection) -> frozenset[int]:
    """The security control octets of suite 0 that meet a policy."""
    return frozenset(
        octet
        for octet in SUPPORTED
        if CONTROLS[octet].suite == 0 and CONTROLS[octet].protection.covers(minimum)
    )


_ALLOWED: Final = {minimum: _allowed(minimum) for minimum in Protection}


@lru_cache(maxsize=256)
def room(limit: int, protection: Protection, form: CipherForm) -> int:
    """
    How long an APDU may be so that it is not above `limit` octets when it is ciphered.

    Args: limit: max_receive_pdu_size of the receiver, above 0. protection, form: how it goes.
    Returns: octets, possibly negative where not even the header fits.
    """
    if protection is Protection.PLAIN:
        return limit
    overhead = 1 + len(write_length(limit)) + HEADER_OCTETS
    if protection.authenticated:
        overhead += TAG_OCTETS
    if form.general:
        overhead += 1 + SYSTEM_TITLE_OCTETS
    return limit - overhead
