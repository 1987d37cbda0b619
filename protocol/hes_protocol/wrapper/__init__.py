"""The TCP/UDP wrapper (IEC 62056-47)."""
