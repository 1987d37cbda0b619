"""
Opening and sealing what a meter says, so that a fault changes the inside and not the outside.

Owns the ciphering of service APDUs (glo- and general forms, global keys) for whoever sits between
the server and its link. What it cannot open (another key, no cipher at all) it leaves as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from hes_protocol.errors import RemoteProtocolError
from hes_protocol.security import Protection, SuiteKeys, open_content, protect
from hes_protocol.security.control import SecurityControl
from hes_protocol.xdlms.ciphered import (
    FORMS,
    GENERAL_DED,
    GENERAL_GLO,
    Ciphered,
    CipherForm,
    split_ciphered,
)
from hes_simulators.faults.parts import ServerParts

_CIPHERED: Final = frozenset(FORMS)


class Cover(NamedTuple):
    """How an APDU was ciphered; PLAIN where it was not."""

    protection: Protection = Protection.PLAIN
    form: CipherForm = CipherForm.GLO


PLAIN: Final = Cover()


class Seal:
    """
    The meter's keys, as those of `parts` for the client that is being answered.

    Args: parts: of the meter's server. peer_sap: gives the client's SAP.
    """

    def __init__(self, parts: ServerParts, peer_sap: Callable[[], int | None]) -> None:
        self._parts = parts
        self._peer_sap = peer_sap

    def open(self, apdu: bytes) -> tuple[bytes, Cover]:
        """The APDU inside, and how it was ciphered; the APDU itself where nothing can be opened."""
        keys = self._keys()
        if keys is None or not is_ciphered(apdu):
            return apdu, PLAIN
        try:
            tag, title, content = split_ciphered(apdu)
            plain = open_content(keys, title or self._parts.system_title, content)
            control = SecurityControl.from_octet(content[0])
        except RemoteProtocolError:
            return apdu, PLAIN
        return plain, Cover(control.protection, FORMS[tag])

    def close(self, apdu: bytes, cover: Cover) -> bytes:
        """The APDU ciphered as another one was, with a counter of its own."""
        keys = self._keys()
        if keys is None or cover.protection is Protection.PLAIN:
            return apdu
        title = self._parts.system_title
        tag = cover.form.tag(apdu[0])
        content = protect(keys, title, cover.protection, self._parts.next_counter(), apdu)
        named = title if tag in (GENERAL_GLO, GENERAL_DED) else None
        return Ciphered(tag, content, named).encode()

    def _keys(self) -> SuiteKeys | None:
        rules = self._parts.associations.get(self._peer_sap() or 0)
        return None if rules is None else rules.suite_keys


def is_ciphered(apdu: bytes) -> bool:
    """Whether its first octet says so."""
    return bool(apdu) and apdu[0] in _CIPHERED
