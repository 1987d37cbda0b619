"""
A cursor over the octets of one xDLMS APDU: fixed fields of A-XDR, bounded by what is there.

IEC 61334-6: integers are big-endian, an OPTIONAL or DEFAULT component begins with a presence
octet, a CHOICE with its tag. Every method raises `TruncatedError` at the end of the octets and
moves the cursor otherwise. Also the few writers that are not one line.
"""

from __future__ import annotations

from hes_protocol.axdr import Budget, Data, decode, read_length, write_length
from hes_protocol.axdr.leaves import READERS
from hes_protocol.errors import EncodingError, LocalProtocolError, TruncatedError


class ApduReader:
    """
    Reads `octets` from `offset` on; `tag` is the APDU's first octet, for errors.

    Args: octets: the whole APDU. offset: where to begin.
    """

    __slots__ = ("_budget", "octets", "offset", "tag")

    def __init__(self, octets: bytes, offset: int = 1) -> None:
        self.octets = octets
        self.offset = offset
        self.tag = octets[0] if octets else None
        self._budget: Budget | None = None

    def error(self, code: str, detail: str = "") -> EncodingError:
        """An `EncodingError` at the cursor, for the caller to raise."""
        return EncodingError(code, detail, offset=self.offset, apdu_tag=self.tag)

    def take(self, length: int) -> bytes:
        """The next `length` octets."""
        behind = self.offset + length
        if behind > len(self.octets):
            raise TruncatedError(
                "truncated", f"{length} octets are due", offset=self.offset, apdu_tag=self.tag
            )
        taken = self.octets[self.offset : behind]
        self.offset = behind
        return taken

    def octet(self) -> int:
        """An unsigned integer of one octet."""
        offset = self.offset
        if offset >= len(self.octets):
            self.take(1)
        self.offset = offset + 1
        return self.octets[offset]

    def unsigned(self, size: int) -> int:
        """An unsigned integer of `size` octets."""
        return int.from_bytes(self.take(size), "big")

    def signed(self, size: int = 1) -> int:
        """A signed integer of `size` octets."""
        return int.from_bytes(self.take(size), "big", signed=True)

    def boolean(self) -> bool:
        """A BOOLEAN: any octet but 0 is true."""
        return self.octet() != 0

    def present(self) -> bool:
        """
        The presence octet of an OPTIONAL component.

        Raises: EncodingError: neither 0 nor 1. TruncatedError.
        """
        flag = self.octet()
        if flag > 1:
            self.offset -= 1
            raise self.error("bad-presence", f"0x{flag:02x} where 0 or 1 is due")
        return flag == 1

    def length(self) -> int:
        """
        A length or a count, never more than the octets that are left.

        Raises: TruncatedError: more is promised than is left. EncodingError: no length.
        """
        length, behind = read_length(self.octets, self.offset)
        if length > len(self.octets) - behind:
            raise TruncatedError(
                "truncated", f"{length} are promised", offset=self.offset, apdu_tag=self.tag
            )
        self.offset = behind
        return length

    def count(self) -> int:
        """
        The number of elements that follow, which is what they cost of the APDU's budget.

        Raises: as `length`, and LimitError: "too-many-values".
        """
        count = self.length()
        self._shared().describe(count, self.offset)
        return count

    def octet_string(self) -> bytes:
        """An OCTET STRING: length and octets."""
        return self.take(self.length())

    def data(self) -> Data:
        """
        One `Data`, decoded; all of an APDU draw on one budget.

        Raises: EncodingError: no value. LimitError: too deep.
        """
        value, self.offset = decode(self.octets, self.offset, self._shared())
        return value

    def _shared(self) -> Budget:
        if self._budget is None:
            self._budget = Budget(len(self.octets))
        return self._budget

    def data_octets(self) -> bytes:
        """
        The octets of one `Data`, which is decoded only to see where it ends.

        Raises: as `data`.
        """
        octets, start = self.octets, self.offset
        read = READERS[octets[start]] if start < len(octets) else None
        if read is None:
            self.data()
        else:
            _, self.offset = read(octets, start + 1, len(octets))
        return octets[start : self.offset]

    def rest(self) -> bytes:
        """Everything that is left, undecoded."""
        return self.take(len(self.octets) - self.offset)

    def end(self) -> None:
        """
        Insist that nothing is left.

        Raises: EncodingError: octets are left over.
        """
        if self.offset != len(self.octets):
            raise self.error("trailing-octets", f"{len(self.octets) - self.offset} left over")


def write_octet_string(octets: bytes) -> bytes:
    """An OCTET STRING: length and octets."""
    return write_length(len(octets)) + octets


def write_unsigned(value: int, size: int = 1) -> bytes:
    """
    An unsigned integer of `size` octets.

    Raises: LocalProtocolError: it does not fit.
    """
    try:
        return value.to_bytes(size, "big")
    except OverflowError as exc:
        raise LocalProtocolError(f"{value} does not fit {size} octets") from exc


def write_signed(value: int, size: int = 1) -> bytes:
    """
    A signed integer of `size` octets.

    Raises: LocalProtocolError: it does not fit.
    """
    try:
        return value.to_bytes(size, "big", signed=True)
    except OverflowError as exc:
        raise LocalProtocolError(f"{value} does not fit {size} octets") from exc
