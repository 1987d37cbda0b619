"""Octets of any transport -> frames, APDUs and readings: the engineer's view."""
