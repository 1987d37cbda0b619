"""Ciphering and authentication of security suite 0 (IEC 62056-5-3)."""

from hes_protocol.security.control import Protection, SecurityControl

__all__ = ["Protection", "SecurityControl"]
