"""What SNRM and UA negotiate: lengths of information fields and windows (IEC 62056-46)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import attrs

from hes_protocol.errors import FramingError, LocalProtocolError

MAX_INFORMATION: Final = 2030
MAX_WINDOW: Final = 7
_FORMAT: Final = 0x81
_GROUP: Final = 0x80
_NAMES: Final = {
    5: "max_information_transmit",
    6: "max_information_receive",
    7: "window_transmit",
    8: "window_receive",
}


@attrs.frozen
class LinkParameters:
    """
    Parameters of one direction pair, seen from their sender: it transmits and receives so much.

    `max_information_…` is octets of an information field, `window_…` I frames before an answer.
    The defaults hold where SNRM or UA says nothing.

    Source: IEC 62056-46, "Negotiation of HDLC parameters".
    """

    max_information_transmit: int = 128
    max_information_receive: int = 128
    window_transmit: int = 1
    window_receive: int = 1

    def check(self) -> None:
        """
        Raises: LocalProtocolError: what we cannot offer: a field that no frame holds, a window
        that three bits cannot number.
        """
        information = (self.max_information_transmit, self.max_information_receive)
        windows = (self.window_transmit, self.window_receive)
        if not all(1 <= octets <= MAX_INFORMATION for octets in information):
            raise LocalProtocolError(f"information fields have 1 to {MAX_INFORMATION} octets")
        if not all(1 <= window <= MAX_WINDOW for window in windows):
            raise LocalProtocolError(f"windows have 1 to {MAX_WINDOW} frames")

    def agreed_with(self, peers: LinkParameters) -> LinkParameters:
        """What holds for us where the peer says `peers` of itself: the less of each direction."""
        return LinkParameters(
            min(self.max_information_transmit, peers.max_information_receive),
            min(self.max_information_receive, peers.max_information_transmit),
            min(self.window_transmit, peers.window_receive),
            min(self.window_receive, peers.window_transmit),
        )

    @classmethod
    def from_information(cls, information: bytes) -> LinkParameters:
        """
        Read the information field of SNRM or UA; an empty one means the defaults.

        Unknown parameters are passed over.

        Raises: FramingError: "bad-parameters": not 81 80 <length> and whole parameters, or a 0.
        """
        if not information:
            return cls()
        if len(information) < 3 or information[0] != _FORMAT or information[1] != _GROUP:
            raise FramingError("bad-parameters", f"0x{information[:2].hex()}", offset=0)
        if information[2] != len(information) - 3:
            raise FramingError("bad-parameters", "another length than it says", offset=2)
        values: dict[str, int] = {}
        offset = 3
        while offset < len(information):
            begin = offset + 2
            end = begin + information[offset + 1] if begin <= len(information) else begin
            if end > len(information):
                raise FramingError("bad-parameters", "a parameter ends early", offset=offset)
            if name := _NAMES.get(information[offset]):
                value = int.from_bytes(information[begin:end], "big")
                if not value or end - begin > 4:
                    raise FramingError("bad-parameters", f"no {name}", offset=offset)
                values[name] = value
            offset = end
        return cls(**values)

    def to_information(self) -> bytes:
        """
        The information field of SNRM or UA that says all four.

        Raises: LocalProtocolError: a number that has no coding.
        """
        return _information(self)


@lru_cache(maxsize=64)
def _information(parameters: LinkParameters) -> bytes:
    """The coding; a server says the same to everybody."""
    body = b""
    for identifier, name in _NAMES.items():
        value = getattr(parameters, name)
        size = 4 if identifier >= 7 else 1 if value < 0x80 else 2
        if not 1 <= value < 1 << 8 * size:
            raise LocalProtocolError(f"{name} {value}")
        body += bytes((identifier, size)) + value.to_bytes(size, "big")
    return bytes((_FORMAT, _GROUP, len(body))) + body
