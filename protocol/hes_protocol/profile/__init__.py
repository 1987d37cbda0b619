"""Columnar decoding of profile-generic buffers (class_id 7, attribute 2)."""

from hes_protocol.profile.buffer import decode_profile
from hes_protocol.profile.columns import Clock, Column, NullMeaning, ProfileColumns, Store

__all__ = ["Clock", "Column", "NullMeaning", "ProfileColumns", "Store", "decode_profile"]
