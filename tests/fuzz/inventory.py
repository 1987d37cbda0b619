"""What is fuzzed of the inventory: meter files, which come from anywhere."""

from __future__ import annotations

import io
import json
from typing import Final

from hes.meters.fields import RowError
from hes.meters.files import FIELDS, Format, read_rows
from hes.meters.lines import LINE_LENGTH_OCTETS, bounded_lines
from hes.meters.rows import parse_fields

_ROW: Final = {
    "serial": "S1",
    "timezone": "Europe/Vienna",
    "address": "10.0.0.1",
    "mechanism": "gmac",
    "ek": "00" * 16,
    "ak": "11" * 16,
    "group": ["a", "b"],
    "site": "Mill",
    "ct_ratio": "200/5",
    "installed_at": "2026-01-01T00:00:00+01:00",
}
_EXCHANGE: Final = {
    "serial": "S2",
    "timezone": "UTC",
    "exchanges": "S1",
    "installed_at": "2026-01-01T00:00:00Z",
    "last_registers": {"1.0.1.8.0.255": "1.5"},
    "associations": [{"client_sap": 2, "role": "reader"}, {"client_sap": 16}],
}
_CHILD: Final = {"serial": "G1", "timezone": "UTC", "parent": "S1", "channel": 1}

SEEDS: Final = (
    *(json.dumps(row).encode() for row in (_ROW, _EXCHANGE, _CHILD)),
    b'serial,timezone,tags,secret\r\nS1,Europe/Vienna,a|b,3030\r\n"S,2",UTC,,\r\n',
    b"\xef\xbb\xbfserial;timezone;exchanges;installed_at\rS1;UTC;S0;2026-01-01T00:00:00Z\r",
)


def meter_file(octets: bytes) -> object:
    """Every line is a row or an error of its own, and nothing is lost between the lines."""
    lines = list(bounded_lines(io.BytesIO(octets)))
    assert max(map(len, lines), default=0) <= LINE_LENGTH_OCTETS + 1
    assert len(octets) > LINE_LENGTH_OCTETS or b"".join(lines) == octets
    kinds: set[object] = set()
    for number, row in read_rows(lines, Format.AUTO):
        assert 1 <= number <= len(lines)
        try:
            if isinstance(row, RowError):
                raise row
            parse_fields(row)
            kinds.add("read")
        except RowError as error:
            assert error.message
            kinds.add(error.field if error.field in FIELDS else None)
    return frozenset(kinds)


for _seed in SEEDS:  # reads the list of time zones, which takes longer than any file
    meter_file(_seed)
