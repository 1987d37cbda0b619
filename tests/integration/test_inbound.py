"""Who a push comes from, and how much of unknown senders is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from ipaddress import ip_address
from uuid import UUID, uuid4

import pytest

from hes.domain.errors import QuarantineFullError, UnknownMeterError
from hes.domain.ports import Sender
from hes.storage.database import Database
from hes.storage.inbound import ENTRY_OVERHEAD_OCTETS, InboundStore
from hes_protocol.cosem import Obis

AddMeter = Callable[..., UUID]

ID_1 = Obis.parse("0.0.96.1.0.255")
ID_2 = Obis.parse("0.0.42.0.0.255")
TITLE = bytes.fromhex("4845530000000001")
OTHER_TITLE = bytes.fromhex("4845530000000002")
NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def inbound(database: Database) -> InboundStore:
    return InboundStore(database)


def sender(
    peer: str = "192.0.2.1",
    *,
    title: bytes | None = None,
    names: Sequence[tuple[Obis | None, str]] = (),
) -> Sender:
    return Sender(ip_address(peer), title, tuple(names))


def who(inbound: InboundStore, sent_by: Sender) -> str | None:
    meter = inbound.by_sender(sent_by)
    return None if meter is None else meter.serial


def test_a_system_title_is_known(inbound: InboundStore, add_meter: AddMeter) -> None:
    meter_id = add_meter("S1", system_title=TITLE.hex(), ek="00" * 16)
    meter = inbound.by_system_title(TITLE)
    assert meter is not None
    assert (meter.meter_id, meter.system_title) == (meter_id, TITLE)
    assert inbound.by_system_title(OTHER_TITLE) is None
    assert inbound.by_system_title(b"") is None


def test_the_system_title_comes_first(inbound: InboundStore, add_meter: AddMeter) -> None:
    add_meter("S1", system_title=TITLE.hex())
    add_meter("S2")
    add_meter("S3", peer="192.0.2.1")
    assert who(inbound, sender(title=TITLE, names=[(ID_1, "S2")])) == "S1"


def test_a_system_title_that_nobody_has_is_nobodys_line(
    inbound: InboundStore, add_meter: AddMeter
) -> None:
    add_meter("S1", peer="192.0.2.1")
    assert who(inbound, sender()) == "S1"
    assert who(inbound, sender(title=TITLE)) is None


def test_a_name_under_a_foreign_system_title_names_only_who_has_none(
    inbound: InboundStore, add_meter: AddMeter
) -> None:
    add_meter("S1", system_title=TITLE.hex())
    add_meter("S2")
    assert who(inbound, sender(title=OTHER_TITLE, names=[(ID_1, "S1")])) is None
    assert who(inbound, sender(title=OTHER_TITLE, names=[(ID_1, "S2")])) == "S2"


def test_without_an_id_object_the_serial_counts_under_any(
    inbound: InboundStore, add_meter: AddMeter
) -> None:
    add_meter("S1")
    for obis in (ID_1, ID_2, None):
        assert who(inbound, sender(names=[(obis, "S1")])) == "S1"
    assert who(inbound, sender(names=[(None, "model"), (ID_1, "S1")])) == "S1"
    assert who(inbound, sender(names=[(ID_1, "S1 \0\0")])) == "S1"
    assert who(inbound, sender(names=[(ID_1, "s1")])) is None
    assert who(inbound, sender(names=[(ID_1, "S")])) is None


def test_an_id_object_counts_alone(inbound: InboundStore, add_meter: AddMeter) -> None:
    add_meter("S1", id_object=str(ID_1))
    assert who(inbound, sender(names=[(ID_1, "S1")])) == "S1"
    assert who(inbound, sender(names=[(ID_2, "S1")])) is None
    assert who(inbound, sender(names=[(None, "S1")])) is None


def test_an_id_object_may_have_a_value_of_its_own(
    inbound: InboundStore, add_meter: AddMeter
) -> None:
    add_meter("S1", id_object=f"{ID_1}=7359992890941742")
    assert who(inbound, sender(names=[(ID_1, "7359992890941742")])) == "S1"
    assert who(inbound, sender(names=[(ID_2, "7359992890941742")])) is None
    assert who(inbound, sender(names=[(ID_1, "S1")])) is None


def test_a_name_under_its_object_says_more_than_one_anywhere(
    inbound: InboundStore, add_meter: AddMeter
) -> None:
    add_meter("S1", id_object=str(ID_1))
    add_meter("S2")
    assert who(inbound, sender(names=[(ID_2, "S2"), (ID_1, "S1")])) == "S1"


def test_who_names_two_names_nobody(inbound: InboundStore, add_meter: AddMeter) -> None:
    add_meter("S1")
    add_meter("S2")
    add_meter("S3", id_object=str(ID_1))
    add_meter("S4", id_object=str(ID_2))
    assert who(inbound, sender(names=[(ID_1, "S1"), (ID_2, "S2")])) is None
    assert who(inbound, sender(names=[(ID_1, "S3"), (ID_2, "S4")])) is None


@pytest.mark.parametrize("text", ["", " ", "\0", "a\0b", "\ud800", "x" * 65, "x" * 100_000])
def test_names_that_are_none_are_nobodys(
    inbound: InboundStore, add_meter: AddMeter, text: str
) -> None:
    add_meter("S1", peer="192.0.2.1")
    assert who(inbound, sender(names=[(ID_1, text)])) is None


def test_the_line_counts_only_if_the_frame_names_nobody(
    inbound: InboundStore, add_meter: AddMeter
) -> None:
    add_meter("S1", peer="192.0.2.0/24")
    assert who(inbound, sender("192.0.2.77")) == "S1"
    assert who(inbound, sender("192.0.3.1")) is None
    assert who(inbound, sender("192.0.2.77", names=[(None, "stranger")])) is None


def test_the_narrowest_line_counts(inbound: InboundStore, add_meter: AddMeter) -> None:
    add_meter("S1", peer="192.0.2.0/24")
    add_meter("S2", peer="192.0.2.128/25")
    add_meter("S3", peer="192.0.2.129")
    add_meter("S4", peer="0.0.0.0/0")
    found = [who(inbound, sender(peer)) for peer in ("192.0.2.1", "192.0.2.130", "192.0.2.129")]
    assert found == ["S1", "S2", "S3"]
    assert who(inbound, sender("10.0.0.1")) == "S4"
    assert who(inbound, sender("2001:db8::1")) is None


def test_two_meters_on_one_line_are_nobody(inbound: InboundStore, add_meter: AddMeter) -> None:
    add_meter("S1", peer="127.0.0.1")
    add_meter("S2", peer="127.0.0.1")
    add_meter("S3", peer="127.0.0.0/8")
    assert who(inbound, sender("127.0.0.1")) is None
    assert who(inbound, sender("127.0.0.2")) == "S3"


def test_a_line_is_the_same_however_the_socket_shows_it(
    inbound: InboundStore, add_meter: AddMeter
) -> None:
    add_meter("S1", peer="127.0.0.1")
    add_meter("S2", peer="fe80::/64")
    assert who(inbound, sender("::ffff:127.0.0.1")) == "S1"
    assert who(inbound, sender("fe80::1%eth0")) == "S2"


def test_a_meter_out_of_service_has_no_line(
    inbound: InboundStore, add_meter: AddMeter, database: Database
) -> None:
    add_meter("S1", peer="127.0.0.1")
    add_meter("S2", peer="127.0.0.1")
    with database.connection() as connection:
        connection.execute("UPDATE meter SET state = 'retired' WHERE serial = 'S1'")
    assert who(inbound, sender("127.0.0.1")) == "S2"


def keep(
    store: InboundStore,
    sent_by: Sender,
    octets: bytes = b"raw",
    meter_id: UUID | None = None,
    *,
    verified: bool = False,
) -> None:
    store.quarantine(
        sent_by, "because", octets, meter_id=meter_id, received_at=NOW, verified=verified
    )


def kept(database: Database) -> list[tuple[object, ...]]:
    with database.connection() as connection:
        return connection.execute(
            "SELECT meter_id, identity, host(peer), reason, raw, received_at FROM quarantine"
            " ORDER BY quarantine_id"
        ).fetchall()


def test_what_is_no_reading_is_kept_with_its_reason(
    inbound: InboundStore, add_meter: AddMeter, database: Database
) -> None:
    meter_id = add_meter("S1")
    keep(inbound, sender(title=TITLE), b"\0\xff")
    keep(inbound, sender("::ffff:10.0.0.1", names=[(ID_1, "a\0")]))
    keep(inbound, sender("fe80::1%eth0"))
    keep(inbound, sender(), meter_id=meter_id)
    assert kept(database) == [
        (None, TITLE.hex(), "192.0.2.1", "because", b"\0\xff", NOW),
        (None, "a\ufffd", "10.0.0.1", "because", b"raw", NOW),
        (None, None, "fe80::1", "because", b"raw", NOW),
        (meter_id, None, "192.0.2.1", "because", b"raw", NOW),
    ]
    with pytest.raises(UnknownMeterError):
        keep(inbound, sender(), meter_id=uuid4())


def test_only_so_many_unknown_senders_are_kept(database: Database, add_meter: AddMeter) -> None:
    store = InboundStore(database, max_unknown_senders=3)
    senders = [sender(title=TITLE), sender(names=[(ID_1, "x")]), sender("10.0.0.1")]
    for each in senders:
        keep(store, each)
    for stranger in (
        sender(title=OTHER_TITLE),
        sender(names=[(ID_1, "y")]),
        sender(names=[(ID_2, "x")]),
        sender("10.0.0.2"),
    ):
        with pytest.raises(QuarantineFullError):
            keep(store, stranger)
    for each in senders:
        keep(store, each)
    keep(store, sender(title=OTHER_TITLE), meter_id=add_meter("S1"), verified=True)
    assert len(kept(database)) == 7


def test_only_so_many_octets_of_unknown_senders_are_kept(
    database: Database, add_meter: AddMeter
) -> None:
    store = InboundStore(database, max_unknown_octets=3 * (100 + ENTRY_OVERHEAD_OCTETS))
    for i in range(3):
        keep(store, sender(f"10.0.0.{i}"), bytes(100))
    for stranger in (sender("10.0.0.0"), sender("10.0.0.9")):
        with pytest.raises(QuarantineFullError):
            keep(store, stranger, b"")
    keep(store, sender(), bytes(1000), meter_id=add_meter("S1"), verified=True)
    assert len(kept(database)) == 4


def test_only_so_many_octets_of_one_known_meter_are_kept(
    database: Database, add_meter: AddMeter
) -> None:
    store = InboundStore(database, max_meter_octets=2 * (100 + ENTRY_OVERHEAD_OCTETS))
    full, other = add_meter("S1"), add_meter("S2")
    keep(store, sender(), bytes(100), meter_id=full, verified=True)
    keep(store, sender(), bytes(100), meter_id=full, verified=True)
    with pytest.raises(QuarantineFullError):
        keep(store, sender(), b"", meter_id=full, verified=True)
    keep(store, sender(), bytes(100), meter_id=other, verified=True)
    keep(store, sender(), bytes(100))
    assert len(kept(database)) == 4


def test_who_merely_names_a_meter_takes_of_the_strangers_share(
    database: Database, add_meter: AddMeter
) -> None:
    """Fifty meters' names must not be worth fifty times a meter's share."""
    store = InboundStore(database, max_unknown_octets=3 * (100 + ENTRY_OVERHEAD_OCTETS))
    named = [add_meter(f"S{number}") for number in range(5)]
    for number, meter_id in enumerate(named[:3]):
        keep(store, sender(f"10.0.0.{number}"), bytes(100), meter_id=meter_id)
    for meter_id in named:
        with pytest.raises(QuarantineFullError):
            keep(store, sender(), meter_id=meter_id)
    keep(store, sender(), meter_id=named[0], verified=True)
    assert [row[0] for row in kept(database)] == [*named[:3], named[0]]


def test_the_limits_hold_for_strangers_who_come_at_once(database: Database) -> None:
    store = InboundStore(database, max_unknown_senders=5)
    together = threading.Barrier(8)

    def come(i: int) -> bool:
        together.wait()
        try:
            keep(store, sender(f"10.0.0.{i}"))
        except QuarantineFullError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(come, range(16))) == 5
    assert len(kept(database)) == 5
