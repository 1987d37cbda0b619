"""Meter secrets: wrapped at rest by a KEK, in clear only in the collector's memory."""
