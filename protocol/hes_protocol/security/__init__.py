"""Ciphering and authentication of security suite 0 (IEC 62056-5-3)."""
