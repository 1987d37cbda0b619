"""
The tables [meter] and [client.NAME] of a model: what a meter is, and who may talk to it.

`docs/how-to/add-a-meter-model.md` tells the keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from hes_protocol.acse.names import Mechanism
from hes_protocol.models.objects import LockOut, MeterChannel, MeterTable, ModelClient, Transport
from hes_protocol.models.tables import Table, shown
from hes_protocol.security.control import Protection
from hes_protocol.xdlms.results import DEFAULT_CONFORMANCE, Conformance

_MAX_U32: Final = 0xFFFFFFFF
_DAY_S: Final = 86_400
# An IANA name, as to its form: whether there is such a zone is for whoever has the database.
_ZONE: Final = re.compile(r"[A-Z][A-Za-z_]*(/[A-Z][A-Za-z_-]*){0,2}")


def read_meter(where: str, row: Mapping[str, Any]) -> MeterTable:
    """
    The table [meter].

    Raises: LocalProtocolError: what is wrong, by its key.
    """
    table = Table(f"{where}: meter", row)
    channels = tuple(
        _channel(Table(f"{table.where}: channel number {number}", row))
        for number, row in enumerate(table.rows("channel"), 1)
    )
    billing = table.text("billing", "")
    if billing not in ("", "day", "month"):
        table.refuse("billing", f"{shown(billing)} is none of day, month")
    zone = table.text("zone", "Europe/Berlin")
    if not _ZONE.fullmatch(zone):
        table.refuse("zone", f"{shown(zone)} is no time zone")
    maker_code = table.text("maker_code", "HES")
    if len(maker_code) != 3 or not maker_code.isascii() or not maker_code.isalpha():
        table.refuse("maker_code", f"{shown(maker_code)} is not three letters")
    read = MeterTable(
        kind=table.text("kind", "electricity"),
        load=table.text("load", "household"),
        phases=table.integer("phases", 0, 3, 1),
        rates=table.integer("rates", 1, 8, 1),
        server_sap=table.integer("server_sap", 1, 0x3FFF, 1),
        max_receive_pdu_size=table.integer("max_receive_pdu_size", 64, 0xFFFF, 512),
        transport=table.member("transport", Transport, Transport.WRAPPER),
        listens=table.flag("listens", default=True),
        zone=zone,
        billing=billing,
        maker_code=maker_code,
        firmware=table.text("firmware", "1.0.0"),
        channels=channels,
    )
    table.done()
    return read


def _channel(table: Table) -> MeterChannel:
    read = MeterChannel(
        table.integer("channel", 1, 4),
        table.text("kind"),
        table.integer("period_s", 60, _DAY_S, 3600),
    )
    table.done()
    return read


def read_clients(where: str, rows: Mapping[str, Mapping[str, Any]]) -> dict[int, ModelClient]:
    """
    The tables [client.NAME], by SAP.

    Raises: LocalProtocolError: what is wrong, by its key; two clients have one SAP.
    """
    found: dict[int, ModelClient] = {}
    for name, row in rows.items():
        table = Table(f"{where}: client {name}", row)
        sap = table.integer("sap", 0, 0x7FFF)
        if sap in found:
            table.refuse("sap", f"{sap} is that of {found[sap].name}")
        found[sap] = ModelClient(
            sap=sap,
            name=name,
            mechanism=table.member("mechanism", Mechanism, Mechanism.NONE),
            protection=table.member("protection", Protection, Protection.PLAIN),
            suite=table.integer("suite", 0, 2, 0),
            conformance=_conformance(table),
            lock_out=_lock_out(table.table("lock_out")) if "lock_out" in table else None,
        )
        table.done()
    return found


def _conformance(table: Table) -> Conformance:
    if "conformance" not in table:
        return DEFAULT_CONFORMANCE
    known = {bit.name.lower(): bit for bit in Conformance if bit.name}
    found = Conformance.NONE
    for name in table.texts("conformance"):
        if name not in known:
            table.refuse("conformance", f"{shown(name)} is none of {', '.join(known)}")
        found |= known[name]
    return found


def _lock_out(table: Table) -> LockOut:
    read = LockOut(table.integer("attempts", 1, 1000), table.integer("seconds", 1, _MAX_U32))
    table.done()
    return read
