"""HDLC (IEC 62056-46): frames of type 3, segments, the LLC header, SNRM and UA parameters."""

from hes_protocol.hdlc import llc
from hes_protocol.hdlc.address import HdlcAddress
from hes_protocol.hdlc.control import Control, ControlKind
from hes_protocol.hdlc.crc import fcs16
from hes_protocol.hdlc.frame import FLAG, MAX_FRAME_OCTETS, HdlcFrame
from hes_protocol.hdlc.parameters import LinkParameters
from hes_protocol.hdlc.reassembler import HdlcReassembler
from hes_protocol.hdlc.receiver import HdlcReceiver

__all__ = [
    "FLAG",
    "MAX_FRAME_OCTETS",
    "Control",
    "ControlKind",
    "HdlcAddress",
    "HdlcFrame",
    "HdlcReassembler",
    "HdlcReceiver",
    "LinkParameters",
    "fcs16",
    "llc",
]
