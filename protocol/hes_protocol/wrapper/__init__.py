"""The TCP/UDP wrapper (IEC 62056-47)."""

from hes_protocol.wrapper.datagrams import WrapperDatagramLink
from hes_protocol.wrapper.frame import HEADER_OCTETS, MAX_LENGTH, WrapperFrame, WrapperReceiver
from hes_protocol.wrapper.link import WrapperLink

__all__ = [
    "HEADER_OCTETS",
    "MAX_LENGTH",
    "WrapperDatagramLink",
    "WrapperFrame",
    "WrapperLink",
    "WrapperReceiver",
]
