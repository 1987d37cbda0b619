"""A-XDR (IEC 61334-6) coding of COSEM data, both ways, without recursion."""

from hes_protocol.axdr.data import (
    INTEGER_TAGS,
    NULL,
    STRING_TAGS,
    BitString,
    CompactArray,
    Data,
    DataTag,
    TypeDescription,
    array,
    structure,
)
from hes_protocol.axdr.decoder import decode, decode_all
from hes_protocol.axdr.encoder import encode
from hes_protocol.axdr.length import read_length, write_length
from hes_protocol.axdr.limits import MAX_DEPTH, MAX_VALUES, Budget

__all__ = [
    "INTEGER_TAGS",
    "MAX_DEPTH",
    "MAX_VALUES",
    "NULL",
    "STRING_TAGS",
    "BitString",
    "Budget",
    "CompactArray",
    "Data",
    "DataTag",
    "TypeDescription",
    "array",
    "decode",
    "decode_all",
    "encode",
    "read_length",
    "structure",
    "write_length",
]
