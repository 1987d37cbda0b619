"""The kept models: whole, and about things that simulated meters know."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from hes.models import model_push_layouts, models
from hes_protocol.axdr import decode_all
from hes_protocol.axdr.data import INTEGER_TAGS
from hes_protocol.cosem import Attribute, Obis
from hes_protocol.models import (
    METER_SOURCES,
    Model,
    ModelAttribute,
    ModelObject,
    ModelProfile,
    Statistic,
    Transport,
)
from hes_protocol.models.notation import read_attribute_name
from hes_protocol.push import read_push
from hes_protocol.server import GetRequested
from hes_protocol.xdlms.results import DataAccessResult
from hes_simulators import Meter, MeterKind
from hes_simulators.energy import QUANTITIES
from hes_simulators.push_body import data_notification
from hes_simulators.state import Cut

BY_NAME = {model.name: model for model in models()}
SIMULATED = [model for model in models() if model.simulated]
WANTED = (
    "hes-household", "hes-household-entry", "hes-household-odd", "idis-single-phase",
    "idis-three-phase", "dsmr-smr5", "nordic-han", "austria-mbus-push", "is-15959-single-phase",
    "prepayment",
)  # fmt: skip

NOW = datetime(2026, 10, 25, 9, 20, 30, tzinfo=UTC)
each = pytest.mark.parametrize("model", SIMULATED, ids=lambda model: model.name)


def meter(model: Model) -> Meter:
    assert model.meter is not None
    kind = MeterKind(
        seed=1,
        zone=ZoneInfo(model.meter.zone),
        now=lambda: NOW,
        next_challenge=lambda: bytes(16),
        first_counter=1,
        model=model,
    )
    return Meter.of(kind, 3)


def values(model: Model) -> Iterator[tuple[ModelObject, ModelAttribute]]:
    for one in model.objects.values():
        for attribute in one.attributes.values():
            yield one, attribute


def test_those_that_were_asked_for_are_there() -> None:
    assert set(WANTED) <= {model.name for model in SIMULATED}


@each
def test_each_names_its_source_and_what_it_is(model: Model) -> None:
    assert len(model.source) > 20
    assert model.about
    assert model.meter is not None
    ZoneInfo(model.meter.zone)
    assert model.meter.kind == "electricity"


@each
def test_sources_are_known(model: Model) -> None:
    for one, attribute in values(model):
        if attribute.source is not None:
            known = attribute.source in METER_SOURCES or attribute.source in QUANTITIES
            assert known, f"{one.class_id}/{one.obis}/{attribute.index}: {attribute.source}"


@each
def test_quantities_have_their_unit_and_fit_their_type(model: Model) -> None:
    """Phases and rates are those of the meter; no quantity is finer than its type can hold."""
    assert model.meter is not None
    for one, attribute in values(model):
        quantity = QUANTITIES.get(attribute.source or "")
        if quantity is None or attribute.statistic is Statistic.MAXIMUM_AT:
            continue
        where = f"{one.class_id}/{one.obis}"
        assert attribute.unit == quantity.unit, where
        assert attribute.tag in INTEGER_TAGS, where
        assert attribute.scaler >= -3, where
        if phase := re.search(r"_l([123])\b|_l([123])_", quantity.name):
            assert int(phase.group(1) or phase.group(2)) <= model.meter.phases, where
        if rate := re.search(r"_r(\d)$", quantity.name):
            assert int(rate.group(1)) <= model.meter.rates, where


@each
def test_every_object_is_somebodys(model: Model) -> None:
    for one in model.objects.values():
        assert one.clients, f"{one.class_id}/{one.obis}"
        assert one.clients <= set(model.clients)


@each
def test_meters_that_listen_have_what_a_client_needs(model: Model) -> None:
    """An association of its own, its name, a clock; and what ciphers a counter to ask for."""
    assert model.meter is not None
    if not model.meter.listens:
        assert model.pushes
        return
    seen = {one.obis for one in model.objects.values() if 16 in one.clients}
    assert {Obis.parse("0.0.42.0.0.255"), Obis.parse("0.0.1.0.0.255")} <= seen
    association = model.objects[15, Obis.parse("0.0.40.0.0.255")]
    assert association.methods[1]
    assert any(a.source == "client_counter" for one, a in values(model) if one.obis in seen)


@each
def test_what_options_name_is_there(model: Model) -> None:
    for one in model.objects.values():
        options = one.options
        if "monitored" in options:
            class_id, obis, index, _ = read_attribute_name(options["monitored"])
            monitored = model.objects[class_id or 3, obis].attributes[index]
            # A register monitor looks when it can have changed, at no average.
            assert one.class_id != 21 or monitored.statistic is Statistic.MOMENT
        if "script" in options:
            scripts = model.objects[9, Obis.parse(options["script"])].options["scripts"]
            assert 1 <= options["selector"] <= len(scripts)
        if "client" in options:
            assert model.client(options["client"])
        for script in options.get("scripts", ()):
            if script.startswith("push:"):
                assert (40, Obis.parse(script.removeprefix("push:"))) in model.objects
        for class_id, key in ((112, "credits"), (113, "charges")):
            assert all(
                (class_id, Obis.parse(obis)) in model.objects for obis in options.get(key, ())
            )
        if "channel" in options:
            assert model.meter is not None
            assert options["channel"] in {channel.channel for channel in model.meter.channels}


@each
def test_what_may_be_read_is_there_and_of_the_type_that_the_model_says(model: Model) -> None:
    made = meter(model)
    for one, attribute in values(model):
        wanted = Attribute(one.class_id, one.obis, attribute.index)
        for sap in attribute.read:
            answer = made.get(GetRequested(0, wanted, None, sap))
            where = f"{one.class_id}/{one.obis}/{attribute.index} for {sap}"
            assert answer.result is DataAccessResult.SUCCESS, where
            found = answer.data if answer.octets is None else decode_all(answer.octets)
            assert found is not None
            assert attribute.tag in (None, found.tag), where


@each
def test_what_may_not_be_read_is_refused(model: Model) -> None:
    """Whom an object does not know it is undefined; who knows it is told that it is secret."""
    made = meter(model)
    for one, attribute in values(model):
        wanted = Attribute(one.class_id, one.obis, attribute.index)
        for sap in model.clients.keys() - attribute.read:
            result = made.get(GetRequested(0, wanted, None, sap)).result
            expected = (
                DataAccessResult.READ_WRITE_DENIED
                if sap in one.clients
                else DataAccessResult.OBJECT_UNDEFINED
            )
            assert result is expected, f"{one.class_id}/{one.obis}/{attribute.index} for {sap}"


@each
def test_each_push_can_be_read_as_a_push(model: Model) -> None:
    """No value is lost on the way through the reader that collectors use."""
    made = meter(model)
    layouts = (*model.push, *model_push_layouts())
    for push in model.pushes:
        body = data_notification(made, push, NOW, 1).body
        found = read_push(body, None, layouts)
        registers = {c.obis for c in push.objects if c.class_id == 3}
        assert registers <= {value.obis for value in found.values}, push.name
        assert found.values, push.name
        # What has no name ends in quarantine, alarms as well.
        names = {c.obis for c in push.objects if c.class_id != 40}
        assert all(value.obis in names for value in found.values) or not model.push, push.name
        for value in found.values:
            scaler_unit = None if value.obis is None else model.scaler_units.get((3, value.obis))
            if scaler_unit is not None and found.layout == model.name:
                assert (value.scaler, value.unit) == (scaler_unit.scaler, scaler_unit.unit.code)


@each
def test_profiles_capture_a_clock_first_where_they_have_rows(model: Model) -> None:
    for profile in model.profiles.values():
        assert isinstance(profile, ModelProfile)
        assert profile.capture_objects
        if profile.on in ("period", "event"):
            assert profile.capture_objects[0].class_id == 8, profile.obis


@each
def test_pushed_events_are_known_where_they_are_told(model: Model) -> None:
    """A push that carries an alarm register is caused by what sets a bit of it, or is logged."""
    logged = {event for log in model.events.logs.values() for event in log.codes}
    set_bits = {event for alarm in model.events.alarms for event in alarm.bits}
    for push in model.pushes:
        assert push.every_s or push.on
        assert set(push.on) <= logged | set_bits, push.name


def test_the_nordic_lists_are_those_that_the_layouts_read() -> None:
    lists = [tuple(c.obis for c in push.objects) for push in BY_NAME["nordic-han"].pushes]
    layouts = {layout.objects for layout in BY_NAME["kaifa-ma"].push}
    assert {len(one) for one in lists} == {1, 13, 18}
    assert set(lists) <= layouts
    assert all(push.transport is Transport.HDLC for push in BY_NAME["nordic-han"].pushes)
    scalers = BY_NAME["nordic-han"].scaler_units
    for layout in BY_NAME["kaifa-ma"].push:
        for obis, (scaler, unit) in layout.scalers.items():
            if (3, obis) in scalers:
                told = scalers[3, obis]
                assert (told.scaler, told.unit.code) == (scaler, unit), obis


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        # As frames of such meters begin, in amshan (Kaifa, Aidon) and the description of Netz NÖ.
        ("nordic-han", "0f40000000 090c.{24} 0201 06.{8}$"),
        ("nordic-han-named", "0f40000000 00 0101 0203 09060100010700ff 06.{8} 02020f00161b$"),
        (
            "austria-mbus-push",
            "0f80000001 0c.{24} 0223 090c.{24} 09060100010800ff 06.{8} 02020f00161e",
        ),
    ],
)
def test_the_first_push_begins_as_real_ones_do(name: str, begins: str) -> None:
    made = meter(BY_NAME[name])
    octets = data_notification(made, BY_NAME[name].pushes[0], NOW, 1).encode()
    assert re.match(begins.replace(" ", ""), octets.hex())


def test_quirks_and_objects_of_a_model_agree() -> None:
    """Where a quirk says that the counter is, the model has it."""
    for model in SIMULATED:
        for sap in model.clients:
            obis = model.quirks.counter_object.get(sap)
            if obis is not None and model.meter is not None and model.meter.listens:
                assert (1, obis) in model.objects, (model.name, sap)


def test_a_power_failure_is_logged_with_how_long_it_took() -> None:
    """DSMR: 1.0.99.97.0.255 holds when the supply came back, and the seconds without it."""
    made = meter(BY_NAME["dsmr-smr5"])
    dark_s = 754
    made.cut(Cut.OUTAGE, NOW - timedelta(hours=2))
    made.restore(Cut.OUTAGE, NOW - timedelta(hours=2) + timedelta(seconds=dark_s))
    log = Attribute(7, Obis.parse("1.0.99.97.0.255"), 2)
    answer = made.get(GetRequested(0, log, None, 1))
    [row] = decode_all(answer.octets or b"").value
    assert row.value[1].value == dark_s
