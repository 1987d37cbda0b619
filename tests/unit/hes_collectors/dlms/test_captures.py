"""Frames of real meters, as their meters would send them, through an inbound connection."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import memory_stream_pair

from hes.domain.meters import Mechanism, Meter, Policy, Secrets
from hes.models import model_push_layouts
from hes_collectors.dlms.inbound import InboundServer
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.support import context, meter, wall_clock

pytestmark = pytest.mark.vectors

PEER = "192.0.2.7"
TITLE_FOLLOWS = b"\xdb\x08"
PUSH_KINDS = ("push", "segmented")


def records(folder: Path) -> Iterator[dict[str, Any]]:
    with (folder / "captures.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if record["transport"] in ("hdlc", "wrapper", "mbus-dlms"):
                yield record


def known(record: dict[str, Any]) -> tuple[Meter, Secrets]:
    """The meter that sent it, as the inventory might know it: by title, or else by its line."""
    octets, keys = bytes.fromhex(record["hex"]), record.get("keys") or {}
    secrets = Secrets(**{name: bytes.fromhex(keys[name]) for name in ("ek", "ak") if name in keys})
    place = octets.find(TITLE_FOLLOWS)
    if place < 0:
        policy, title = Policy.PLAIN, None
    else:
        policy = Policy.ENCRYPTED if secrets.ak is None else Policy.AUTHENTICATED_ENCRYPTED
        title = octets[place + 2 : place + 10]
    known_meter = meter(
        policy=policy, mechanism=Mechanism.NONE, system_title=title, peer=PEER, serial="any"
    )
    return known_meter, secrets


async def push(record: dict[str, Any], slice_octets: int) -> tuple[FakeStorage, list[Any]]:
    octets = bytes.fromhex(record["hex"])
    storage = FakeStorage(wall_clock)
    storage.add_meter(*known(record))
    storage.everybody_by_line = True
    surroundings = attrs.evolve(context(storage), push_layouts=model_push_layouts())
    ours, theirs = memory_stream_pair()
    with capture_logs() as captured:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(InboundServer(surroundings).serve, theirs, ip_address(PEER))
            for at in range(0, len(octets), slice_octets):
                await ours.send_all(octets[at : at + slice_octets])
            await ours.send_eof()
    return storage, captured


async def test_real_pushes_become_readings(hes_vectors: Path) -> None:
    outcomes: Counter[str] = Counter()
    for record in records(hes_vectors):
        storage, captured = await push(record, 100_000)
        assert not [line for line in captured if line["event"] == "collector_task_crashed"], record[
            "id"
        ]
        if record["kind"] not in PUSH_KINDS:
            continue
        if storage.values:
            outcomes["stored"] += 1
        else:
            # What cannot be read is kept: bare values, missing keys.
            assert storage.quarantined, record["id"]
            outcomes[storage.quarantined[0].reason] += 1
        assert not set(outcomes) - {
            "stored",
            "unnamed-values",
            "key-unavailable",
        }, record["id"]
    print(dict(outcomes))
    assert outcomes["stored"] >= 35


async def test_single_octets_make_no_difference(hes_vectors: Path) -> None:
    for record in records(hes_vectors):
        if record["kind"] in PUSH_KINDS:
            whole, _ = await push(record, 100_000)
            sliced, _ = await push(record, 1)
            assert _times_of_receipt_apart(whole) == _times_of_receipt_apart(sliced), record["id"]


def _times_of_receipt_apart(storage: FakeStorage) -> list[Any]:
    return [(key, value) for (key, _), value in storage.values.items()]
