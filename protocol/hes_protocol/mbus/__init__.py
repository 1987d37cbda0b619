"""
Wired M-Bus long frames as customer interfaces use them to carry DLMS APDUs.

Owns frames, their search in a stream, and the fragments of one APDU, in both roles. Does not own
M-Bus itself: no addressing of slaves, no data records.
"""

from hes_protocol.mbus.fragments import MBusFragmenter, MBusReassembler
from hes_protocol.mbus.frame import MAX_FRAME_OCTETS, MBusFrame
from hes_protocol.mbus.link import MBusPushLink
from hes_protocol.mbus.receiver import MBusReceiver

__all__ = [
    "MAX_FRAME_OCTETS",
    "MBusFragmenter",
    "MBusFrame",
    "MBusPushLink",
    "MBusReassembler",
    "MBusReceiver",
]
