"""Captures of real meters, read from HES_VECTORS by the tests that need them; none is in here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from hes_protocol.hdlc import HdlcFrame, HdlcReceiver


def capture(folder: Path, name: str) -> dict[str, Any]:
    """One record of captures.jsonl; a test whose record is missing fails."""
    with (folder / "captures.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            record: dict[str, Any] = json.loads(line)
            if record["id"] == name:
                return record
    pytest.fail(f"captures.jsonl has no record {name}")


def octets_of(folder: Path, name: str) -> bytes:
    """The octets of one record, as they were captured."""
    return bytes.fromhex(capture(folder, name)["hex"])


def hdlc_frames(octets: bytes) -> list[HdlcFrame]:
    """All whole frames of a stream."""
    receiver = HdlcReceiver()
    receiver.receive_data(octets)
    return list(iter(receiver.next_frame, None))  # type: ignore[arg-type]


@attrs.define
class BareLink:
    """APDUs as they are: recordings come in several framings."""

    peer_sap: int | None = 1
    received: list[bytes] = attrs.field(factory=list)
    timeout_s: float | None = None

    def wrap(self, *apdus: bytes) -> bytes:
        return b"".join(apdus)

    def receive_data(self, data: bytes) -> None:
        self.received.append(data)

    def next_apdu(self) -> bytes | None:
        return self.received.pop(0) if self.received else None

    def push(self, client_sap: int, apdu: bytes) -> bytes:
        return apdu

    def data_to_send(self) -> bytes:
        return b""

    def handle_timeout(self) -> bytes:
        return b""

    def ended_saps(self) -> tuple[int, ...]:
        return ()
