"""Ciphering and authentication of security suite 0 (IEC 62056-5-3)."""

from hes_protocol.security.control import Protection, SecurityControl
from hes_protocol.security.hls_gmac import gmac_token, verify_gmac_token
from hes_protocol.security.suite0 import (
    SuiteKeys,
    Unprotected,
    decipher_unverified,
    open_content,
    protect,
    read_header,
    unprotect,
)

__all__ = [
    "Protection",
    "SecurityControl",
    "SuiteKeys",
    "Unprotected",
    "decipher_unverified",
    "gmac_token",
    "open_content",
    "protect",
    "read_header",
    "unprotect",
    "verify_gmac_token",
]
