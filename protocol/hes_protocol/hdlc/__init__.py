"""HDLC (IEC 62056-46): the links of client and server, and the frames that they are made of."""

from hes_protocol.hdlc import llc
from hes_protocol.hdlc.address import HdlcAddress
from hes_protocol.hdlc.control import Control, ControlKind
from hes_protocol.hdlc.crc import fcs16
from hes_protocol.hdlc.frame import FLAG, MAX_FRAME_OCTETS, HdlcFrame
from hes_protocol.hdlc.link import HdlcLink
from hes_protocol.hdlc.parameters import LinkParameters
from hes_protocol.hdlc.reassembler import HdlcReassembler
from hes_protocol.hdlc.receiver import HdlcReceiver
from hes_protocol.hdlc.server_link import HdlcServerLink

__all__ = [
    "FLAG",
    "MAX_FRAME_OCTETS",
    "Control",
    "ControlKind",
    "HdlcAddress",
    "HdlcFrame",
    "HdlcLink",
    "HdlcReassembler",
    "HdlcReceiver",
    "HdlcServerLink",
    "LinkParameters",
    "fcs16",
    "llc",
]
