"""
What a request names: attribute, method, selective access, datablock, invoke id.

IEC 62056-5-3, `Cosem-Attribute-Descriptor`, `Cosem-Method-Descriptor`,
`Selective-Access-Descriptor`, `DataBlock-SA`, `Invoke-Id-And-Priority`.
"""

from __future__ import annotations

from typing import Final

import attrs

from hes_protocol.axdr import Data, encode
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import Attribute, Method
from hes_protocol.errors import LocalProtocolError
from hes_protocol.xdlms.reader import ApduReader, write_octet_string, write_signed, write_unsigned

INVOKE_ID_MASK: Final = 0x0F
CONFIRMED: Final = 0x40
HIGH_PRIORITY: Final = 0x80
DEFAULT_INVOKE: Final = 0xC1


@attrs.frozen(kw_only=True)
class Invoked:
    """
    An APDU with an invoke id.

    `invoke_id_and_priority` is the whole octet: bit 7 high priority, bit 6 confirmed, bits 0 to 3
    the id; an answer echoes it.
    """

    invoke_id_and_priority: int = DEFAULT_INVOKE

    @property
    def invoke_id(self) -> int:
        """0..15."""
        return self.invoke_id_and_priority & INVOKE_ID_MASK

    def header(self, tag: int, choice: int) -> bytes:
        """APDU tag, CHOICE tag and invoke id."""
        return write_header(tag, choice, self.invoke_id_and_priority)


def write_header(tag: int, choice: int, invoke_id_and_priority: int) -> bytes:
    """
    APDU tag, CHOICE tag and invoke id.

    Raises: LocalProtocolError: an invoke id above one octet.
    """
    try:
        return bytes((tag, choice, invoke_id_and_priority))
    except ValueError as exc:
        raise LocalProtocolError(f"{invoke_id_and_priority} is no invoke id") from exc


@attrs.frozen
class AccessSelection:
    """Selective access as sent: what `parameters` mean depends on class, attribute, selector."""

    selector: int
    parameters: Data


@attrs.frozen
class AttributeAccess:
    """An attribute with its optional selective access."""

    attribute: Attribute
    selection: AccessSelection | None = None


@attrs.frozen
class DataBlock:
    """One block of a long SET or ACTION parameter (`DataBlock-SA`)."""

    last_block: bool
    block_number: int
    raw_data: bytes = attrs.field(repr=False)


def read_attribute(reader: ApduReader) -> Attribute:
    """A `Cosem-Attribute-Descriptor`."""
    return Attribute(reader.unsigned(2), Obis(reader.take(6)), reader.signed())


def write_attribute(attribute: Attribute) -> bytes:
    """
    A `Cosem-Attribute-Descriptor`.

    Raises: LocalProtocolError: class_id or index out of range.
    """
    return (
        write_unsigned(attribute.class_id, 2)
        + attribute.obis.octets
        + write_signed(attribute.index)
    )


def read_method(reader: ApduReader) -> Method:
    """A `Cosem-Method-Descriptor`."""
    return Method(reader.unsigned(2), Obis(reader.take(6)), reader.signed())


def write_method(method: Method) -> bytes:
    """
    A `Cosem-Method-Descriptor`.

    Raises: LocalProtocolError: class_id or index out of range.
    """
    return write_unsigned(method.class_id, 2) + method.obis.octets + write_signed(method.index)


def read_selection(reader: ApduReader) -> AccessSelection | None:
    """An OPTIONAL `Selective-Access-Descriptor`."""
    return AccessSelection(reader.octet(), reader.data()) if reader.present() else None


def write_selection(selection: AccessSelection | None) -> bytes:
    """
    An OPTIONAL `Selective-Access-Descriptor`.

    Raises: LocalProtocolError: the parameters have no encoding.
    """
    if selection is None:
        return b"\x00"
    return b"\x01" + write_unsigned(selection.selector) + encode(selection.parameters)


def read_access(reader: ApduReader) -> AttributeAccess:
    """An attribute descriptor with OPTIONAL selective access."""
    return AttributeAccess(read_attribute(reader), read_selection(reader))


def write_access(access: AttributeAccess) -> bytes:
    """An attribute descriptor with OPTIONAL selective access."""
    return write_attribute(access.attribute) + write_selection(access.selection)


def read_block(reader: ApduReader) -> DataBlock:
    """A `DataBlock-SA`."""
    return DataBlock(reader.boolean(), reader.unsigned(4), reader.octet_string())


def write_block(block: DataBlock) -> bytes:
    """
    A `DataBlock-SA`.

    Raises: LocalProtocolError: the block number is out of range.
    """
    return (
        bytes((block.last_block,))
        + write_unsigned(block.block_number, 4)
        + write_octet_string(block.raw_data)
    )
