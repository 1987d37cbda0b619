"""HDLC framing (IEC 62056-46) and the LLC header above it."""
