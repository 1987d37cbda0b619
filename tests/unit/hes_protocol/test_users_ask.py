"""
What users of comparable systems asked for, as far as the protocol can give it: a test for each.

The numbers are those of the list of asks (users-ask). Where others already prove a point in depth
it is named in `ELSEWHERE`, and here stands the least that a user would try.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from hes_protocol.axdr import NULL, Data, DataTag, array, encode, structure
from hes_protocol.client import (
    Associate,
    AssociationAccepted,
    AssociationRejected,
    Client,
    ContinueNeeded,
    Get,
    GetCompleted,
    GetList,
    GetListCompleted,
)
from hes_protocol.cosem import DEVIATION_UNSPECIFIED, CosemDateTime, Obis
from hes_protocol.cosem.objects import CaptureObject, EntrySelection, RangeSelection
from hes_protocol.errors import (
    AssociationError,
    EncodingError,
    FramingError,
    LimitError,
    RemoteProtocolError,
    SecurityError,
)
from hes_protocol.models import parse_model
from hes_protocol.profile import NullMeaning, decode_profile
from hes_protocol.push import read_push
from hes_protocol.security import Protection
from hes_protocol.translator import TranslatorKeys, translate
from hes_protocol.xdlms import Ciphered, DataNotification, decode_apdu
from hes_protocol.xdlms.ciphered import CipherForm
from tests.connection_pair import (
    AUTHENTICATION_KEY,
    BUFFER,
    CLIENT_SAP,
    CLOCK,
    ENCRYPTION_KEY,
    SERVER_TITLE,
    VALUE,
    ConnectionPair,
    answer_of,
    apdu_of,
    client_settings,
    events_of,
    make_client,
    make_server,
    server_association,
)
from tests.negative.scene import forged

ROOT = Path(__file__).parents[3]
GMAC = {"mechanism": 5, "protection": Protection.AUTHENTICATED_ENCRYPTED}
CLOCK_COLUMN = CaptureObject(8, Obis.parse("0.0.1.0.0.255"), 2, 0)
ENERGY_COLUMN = CaptureObject(3, Obis.parse("1.0.1.8.0.255"), 2, 0)

ELSEWHERE = {
    5: "tests/unit/hes_protocol/models/test_parsing.py::test_every_flag_is_read",
    7: "tests/integration/test_counters.py::test_a_key_that_comes_back_goes_on_where_it_stopped",
    10: "tests/unit/hes_collectors/dlms/test_outcomes.py",
    12: "tests/unit/hes_protocol/test_service_sessions.py",
    14: "tests/unit/hes_collectors/dlms/test_ranges.py",
    18: "tests/unit/hes_protocol/test_hdlc_sessions.py"
    "::test_switching_the_client_on_one_line_breaks_no_frame",
    19: "tests/unit/hes_protocol/push/test_model_layouts.py",
    20: "tests/unit/hes_collectors/dlms/test_ranges.py"
    "::test_a_range_over_the_repeated_hour_hides_no_row_from_any_meter",
}


@pytest.mark.parametrize("number", ELSEWHERE)
def test_what_is_proved_elsewhere_is_there(number: int) -> None:
    path, _, name = ELSEWHERE[number].partition("::")
    source = (ROOT / path).read_text(encoding="utf-8")
    assert f"def {name or 'test_'}" in source


def test_ask_4_which_profile_is_supported_and_with_which_meters() -> None:
    page = (ROOT / "docs/reference/conformance.md").read_text(encoding="utf-8")
    assert "Which DLMS profile is supported?" in page
    assert "| maker | model | captures |" in page
    assert not re.search(r"\d{7}", page), "a serial number, perhaps"


def test_ask_5_what_differs_by_model_is_data() -> None:
    for path in (ROOT / "config/models").glob("*.toml"):
        text = path.read_text(encoding="utf-8")
        if "inherits" not in text:
            assert parse_model(text).source
    push = read_push(
        structure(
            Data(DataTag.OCTET_STRING, ENERGY_COLUMN.obis.octets),
            Data(DataTag.DOUBLE_LONG_UNSIGNED, 5),
            structure(Data(DataTag.INTEGER, -2), Data(DataTag.ENUM, 30)),
        )
    )
    assert [(value.scaler, value.unit) for value in push.values] == [(-2, 30)]


def test_ask_7_after_a_key_change_counters_may_begin_again() -> None:
    first = ConnectionPair.of(
        client_settings(**GMAC), server_association(mechanism=5, minimum_protection=0x30)
    ).opened()
    assert first.client.server_counter is not None
    new_key = {"encryption_key": bytes(16)}
    rules = server_association(mechanism=5, minimum_protection=0x30, **new_key)
    server = make_server(rules, first_counter=1)
    fresh = make_client(client_settings(**GMAC, **new_key), first_counter=1)
    assert isinstance(_converse(fresh, server, Associate())[-1], AssociationAccepted)
    # With the counter of the old key held against it, the same meter is refused.
    held = make_client(
        client_settings(**GMAC, **new_key, server_counter=first.client.server_counter),
        first_counter=100,
    )
    with pytest.raises(SecurityError) as caught:
        _converse(held, make_server(rules, first_counter=1), Associate())
    assert caught.value.code == "counter-replayed"


def test_ask_10_errors_are_told_apart_by_type_and_code() -> None:
    kinds = (FramingError, EncodingError, LimitError, SecurityError, AssociationError)
    assert all(issubclass(kind, RemoteProtocolError) for kind in kinds)
    pair = ConnectionPair.of(
        client_settings(mechanism=1, secret=b"wrong"), server_association(mechanism=1)
    )
    (rejected,) = pair.ask(Associate())
    assert isinstance(rejected, AssociationRejected)
    unreadable = encode(array(structure(Data(DataTag.VISIBLE_STRING, b"\xff\x00\x1b[2J"))))
    columns = decode_profile(
        unreadable, (ENERGY_COLUMN,), capture_period_s=0, null_means=NullMeaning.MISSING
    )
    assert columns.columns[0].others is not None
    assert str(columns.columns[0].others[0]).isprintable()


@pytest.mark.conformance("get-list", "client", "server")
def test_ask_12_get_with_list() -> None:
    pair = ConnectionPair.of().opened()
    completed = pair.ask(GetList((Get(CLOCK), Get(BUFFER))))[-1]
    assert isinstance(completed, GetListCompleted)
    assert [result.octets for result in completed.results] == [VALUE, VALUE]


@pytest.mark.conformance("deviation", "client", "server")
@pytest.mark.conformance("date-time", "client", "server")
def test_ask_13_deviation_has_the_standards_sign_and_may_be_unspecified() -> None:
    # 12:00 in Oslo's winter is one hour east: local + deviation = UTC, so -60.
    winter = CosemDateTime.from_octets(bytes.fromhex("07ea0115ff0c000000ffc400"))
    assert winter.deviation_min == -60
    silent = CosemDateTime.from_octets(bytes.fromhex("07ea0715ff0c000000800000"))
    assert silent.deviation_min == DEVIATION_UNSPECIFIED
    summer = CosemDateTime.from_octets(bytes.fromhex("07ea0715ff0c000000ff8880"))
    assert (summer.deviation_min, summer.clock_status & 0x80) == (-120, 0x80)
    assert summer.to_octets().hex() == "07ea0715ff0c000000ff8880"


@pytest.mark.conformance("selective-range", "client", "server")
def test_ask_14_a_range_names_its_column_wherever_it_stands() -> None:
    moment = CosemDateTime.from_octets(bytes.fromhex("07ea0115ff0c000000800000"))
    selection = RangeSelection.between(CLOCK_COLUMN, moment, moment, (ENERGY_COLUMN, CLOCK_COLUMN))
    pair = ConnectionPair.of().opened()
    pair.ask(Get(BUFFER, selection))
    (asked,) = [event for event in pair.server_events if hasattr(event, "selection")]
    assert asked.selection == selection
    assert asked.selection.from_.value[9:11] == b"\x80\x00"


@pytest.mark.conformance("selective-entry", "client", "server")
def test_ask_14_or_rows_by_their_number_where_a_meter_takes_no_range() -> None:
    selection = EntrySelection(1, 96)
    pair = ConnectionPair.of().opened()
    assert isinstance(pair.ask(Get(BUFFER, selection))[-1], GetCompleted)
    (asked,) = [event for event in pair.server_events if hasattr(event, "selection")]
    assert asked.selection == selection


@pytest.mark.conformance("glo", "client", "server")
@pytest.mark.conformance("ded", "client", "server")
@pytest.mark.conformance("general-glo", "client", "server")
@pytest.mark.conformance("general-ded", "client", "server")
@pytest.mark.parametrize("form", CipherForm)
def test_ask_15_every_form_of_ciphering(form: CipherForm) -> None:
    dedicated = bytes(range(16)) if form.dedicated else None
    pair = ConnectionPair.protected(
        Protection.AUTHENTICATED_ENCRYPTED, cipher_form=form, dedicated_key=dedicated
    ).opened()
    assert isinstance(pair.ask(Get(CLOCK))[-1], GetCompleted)
    ciphered = decode_apdu(apdu_of(pair.sent[-2][1]))
    assert isinstance(ciphered, Ciphered)
    assert (ciphered.dedicated, ciphered.general) == (form.dedicated, form.general)


def test_ask_16_our_client_under_asyncio() -> None:
    """All that a program needs to read a meter over asyncio streams."""

    async def ask(client: Client, request: Any, meter: Any) -> Any:
        reader, writer = meter
        writer.write(client.send(request))
        while True:
            event = client.next_event()
            if event is None:
                client.receive_data(await reader.read(4096))
            elif isinstance(event, ContinueNeeded):
                writer.write(client.send(event.reply))
            else:
                return event

    async def simulated(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = make_server(server_association(mechanism=5, minimum_protection=0x30))
        while data := await reader.read(4096):
            server.receive_data(data)
            for event in iter(server.next_event, None):
                if (reply := answer_of(event)) is not None:
                    writer.write(server.send(reply))
        writer.close()

    async def program() -> None:
        listening = await asyncio.start_server(simulated, "127.0.0.1")
        meter = await asyncio.open_connection(*listening.sockets[0].getsockname())
        client = make_client(client_settings(**GMAC, max_receive_pdu_size=200))
        assert isinstance(await ask(client, Associate(), meter), AssociationAccepted)
        assert (await ask(client, Get(BUFFER), meter)).octets == VALUE
        meter[1].close()
        await meter[1].wait_closed()
        listening.close()

    asyncio.run(program())


@pytest.mark.conformance("contexts", "client", "server")
@pytest.mark.parametrize("protection", [p for p in Protection if p])
def test_ask_17_the_server_accepts_ciphered_contexts(protection: Protection) -> None:
    pair = ConnectionPair.protected(protection).opened()
    assert pair.server.is_associated(CLIENT_SAP)
    assert isinstance(pair.ask(Get(CLOCK))[-1], GetCompleted)


@pytest.mark.conformance("general-glo", "client")
def test_ask_19_an_encrypted_push_and_one_without_a_clock() -> None:
    body = structure(
        Data(DataTag.OCTET_STRING, ENERGY_COLUMN.obis.octets),
        Data(DataTag.DOUBLE_LONG_UNSIGNED, 4711),
    )
    push = DataNotification(1, None, body)
    octets = forged(push.encode(), SERVER_TITLE, Protection.AUTHENTICATED_ENCRYPTED)
    keys = TranslatorKeys(ENCRYPTION_KEY, AUTHENTICATION_KEY)
    translation = translate(octets, keys=keys)
    assert [reading.data.value for reading in translation.readings] == [4711]
    assert read_push(body).captured_at is None


@pytest.mark.conformance("profile-columns", "client")
def test_ask_20_the_hour_that_comes_twice_stays_two_rows() -> None:
    rows = [
        structure(
            Data(DataTag.OCTET_STRING, bytes.fromhex(f"07ea0a19ff02{minute:02x}0000{tail}")),
            Data(DataTag.DOUBLE_LONG_UNSIGNED, value),
        )
        for value, (minute, tail) in enumerate(
            [(0, "ff8880"), (30, "ff8880"), (0, "ffc400"), (30, "ffc400")]
        )
    ]
    columns = decode_profile(
        encode(array(*rows)),
        (CLOCK_COLUMN, ENERGY_COLUMN),
        capture_period_s=1800,
        null_means=NullMeaning.MISSING,
    )
    clock = columns.clock
    assert clock is not None
    utc_us = clock.local_us + clock.deviation_min.astype("int64") * 60_000_000
    assert (utc_us[1:] - utc_us[:-1] == 1_800_000_000).all()
    missing = decode_profile(
        encode(array(structure(NULL, NULL))),
        (CLOCK_COLUMN, ENERGY_COLUMN),
        capture_period_s=1800,
        null_means=NullMeaning.MISSING,
    )
    assert missing.clock is not None
    assert (missing.clock.known.tolist(), missing.columns[0].null.tolist()) == ([False], [True])


def _converse(client: Client, server: Any, request: Any) -> list[Any]:
    seen: list[Any] = []
    octets = client.send(request)
    while octets:
        server.receive_data(octets)
        while (event := server.next_event()) is not None:
            if (reply := answer_of(event)) is not None:
                client.receive_data(server.send(reply))
        told = events_of(client)
        seen += told
        octets = b"".join(
            client.send(event.reply) for event in told if isinstance(event, ContinueNeeded)
        )
    return seen
