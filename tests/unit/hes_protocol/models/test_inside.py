"""What model files say of a meter's inside: read, inherited key by key, errors with their place."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from hes_protocol.acse.names import Mechanism
from hes_protocol.axdr import Data, DataTag
from hes_protocol.cosem import CaptureObject, Obis, ScalerUnit, Unit
from hes_protocol.errors import LocalProtocolError
from hes_protocol.models import (
    CaptureOn,
    LockOut,
    Model,
    ModelObject,
    ModelProfile,
    PushForm,
    Sort,
    Statistic,
    Transport,
    parse_models,
)
from hes_protocol.models.classes import CLASSES
from hes_protocol.security.control import Protection
from hes_protocol.xdlms.results import Conformance

PUBLIC, MANAGEMENT = 16, 1
CLOCK, ENERGY, LOAD = (
    Obis.parse(text) for text in ("0.0.1.0.0.255", "1.0.1.8.0.255", "1.0.99.1.0.255")
)
HEAD = """
name = "a"
maker = "b"
source = "c"
[meter]
phases = 3
channel = [{ channel = 2, kind = "water", period_s = 900 }]
[client.public]
sap = 16
[client.management]
sap = 1
mechanism = "hls_gmac"
protection = "authenticated_encrypted"
lock_out = { attempts = 3, seconds = 60 }
conformance = ["get", "selective_access"]
"""
CLOCK_TABLE = """
[[object]]
class_id = 8
obis = "0.0.1.0.0.255"
access = { public = "r", management = "rwx" }
"""
REGISTERS = """
[[object]]
class_id = 3
access = { management = "r" }
unit = "Wh"
period_s = 1800
[object.list]
"1.0.1.8.0.255" = "import_wh"
"1.0.1.29.0.255" = { value = "interval(import_wh)", type = "long-unsigned", scaler = 1 }
"""
PROFILE = """
[[profile]]
obis = "1.0.99.1.0.255"
access = { management = "rx" }
period_s = 900
days = 2
sort = "lifo"
capture = ["0.0.1.0.0.255", "3/1.0.1.8.0.255/2/0", "1.0.1.29.0.255"]
"""
LOG = """
[[event_log]]
name = "standard"
obis = "0.0.99.98.0.255"
code = "0.0.96.11.0.255"
access = { management = "r" }
entries = 10
[event_log.events]
power_down = 1
power_up = 2
"""
ALARM = """
[[alarm]]
obis = "0.0.97.98.0.255"
filter = "0.0.97.98.10.255"
access = { management = "rw" }
[alarm.bits]
power_down = 4
"""
PUSH = """
[[push_setup]]
obis = "0.4.25.9.0.255"
client = "management"
access = { management = "rwx" }
every_s = 2.5
on = ["power_down"]
form = "named"
transport = "udp"
protection = "encrypted"
preamble = "visible-string V1"
objects = ["40/0.4.25.9.0.255/1", "1.0.1.8.0.255"]
"""
WHOLE = HEAD + CLOCK_TABLE + REGISTERS + PROFILE + LOG + ALARM + PUSH


def model(*texts: str) -> Model:
    return parse_models(texts or (WHOLE,))[0]


def found(one: Model, class_id: int, obis: str) -> ModelObject:
    return one.objects[class_id, Obis.parse(obis)]


def heir(rest: str) -> Model:
    return model(f'name = "h"\nmaker = "b"\nsource = "c"\ninherits = "a"\n{rest}', WHOLE)


def test_meter_and_clients() -> None:
    read = model()
    assert read.simulated
    assert read.meter is not None
    assert (read.meter.phases, read.meter.transport) == (3, Transport.WRAPPER)
    assert [(c.channel, c.kind, c.capture_period_s) for c in read.meter.channels] == [
        (2, "water", 900)
    ]
    management = read.clients[MANAGEMENT]
    assert management.mechanism is Mechanism.HLS_GMAC
    assert management.protection is Protection.AUTHENTICATED_ENCRYPTED
    assert management.lock_out == LockOut(3, 60)
    assert management.conformance == Conformance.GET | Conformance.SELECTIVE_ACCESS
    assert read.client("public") is read.clients[PUBLIC]
    with pytest.raises(KeyError):
        read.client("nobody")


def test_access_by_client_and_class() -> None:
    clock = found(model(), 8, "0.0.1.0.0.255")
    both, one = frozenset({PUBLIC, MANAGEMENT}), frozenset({MANAGEMENT})
    assert clock.clients == both
    assert set(clock.attributes) == set(range(2, 10))
    assert clock.attributes[2].read == clock.attributes[9].read == both
    assert clock.attributes[2].write == one
    assert not clock.attributes[9].write  # clock_base cannot be set
    assert set(clock.methods) == set(range(1, 7))
    assert set(clock.methods.values()) == {one}


def test_registers_with_shared_and_own_keys() -> None:
    total = found(model(), 3, "1.0.1.8.0.255").attributes[2]
    assert (total.source, total.statistic, total.tag) == (
        "import_wh",
        Statistic.MOMENT,
        DataTag.DOUBLE_LONG_UNSIGNED,
    )
    block = found(model(), 3, "1.0.1.29.0.255").attributes[2]
    assert (block.source, block.statistic, block.period_s) == (
        "import_wh",
        Statistic.INTERVAL,
        1800,
    )
    assert (block.tag, block.scaler, block.shown) == (
        DataTag.LONG_UNSIGNED,
        1,
        "interval(import_wh)",
    )
    assert model().scaler_units[3, ENERGY] == ScalerUnit(0, Unit.of(30))


def test_profile() -> None:
    read = model().profiles[LOAD]
    assert isinstance(read, ModelProfile)
    assert read is model().objects[7, LOAD] or read == model().objects[7, LOAD]
    assert (read.on, read.capture_period_s, read.entries) == (CaptureOn.PERIOD, 900, 192)
    assert read.sort is Sort.LIFO
    assert read.sort.code == 2
    assert read.capture_objects[:2] == (CaptureObject(8, CLOCK, 2), CaptureObject(3, ENERGY, 2))


def test_a_profile_sorted_by_a_column() -> None:
    by = 'sort = "largest"\nsort_by = "1.0.1.29.0.255"'
    read = model(WHOLE.replace('sort = "lifo"', by)).profiles[LOAD]
    assert isinstance(read, ModelProfile)
    assert read.sort_object == read.capture_objects[2]
    assert read.sort.code == 3


def test_logs_alarms_and_what_belongs_to_them() -> None:
    read = model()
    [(log, code)] = read.events.of("power_up")
    assert (log.name, code) == ("standard", 2)
    assert list(read.events.of("cover_opened")) == []
    profile = read.profiles[log.obis]
    assert (profile.on, profile.entries) == (CaptureOn.EVENT, 10)
    assert log.code_obis is not None
    assert [c.obis for c in profile.capture_objects] == [CLOCK, log.code_obis]
    assert read.objects[1, log.code_obis].attributes[2].source == "event_code"
    [alarm] = read.events.alarms
    assert alarm.bits == {"power_down": 4}
    assert alarm.filter_obis is not None
    kept = read.objects[1, alarm.filter_obis].attributes[2]
    assert kept.constant == Data(DataTag.DOUBLE_LONG_UNSIGNED, 0xFFFFFFFF)
    assert kept.write == {MANAGEMENT}


def test_push() -> None:
    [push] = model().pushes
    assert (push.every_s, push.on, push.form) == (2.5, ("power_down",), PushForm.NAMED)
    assert (push.transport, push.protection) == (Transport.UDP, Protection.ENCRYPTED)
    assert push.client_sap == MANAGEMENT
    assert push.preamble == Data(DataTag.VISIBLE_STRING, b"V1")
    assert push.objects == (CaptureObject(40, push.obis, 1), CaptureObject(3, ENERGY, 2))
    assert found(model(), 40, "0.4.25.9.0.255").methods == {1: frozenset({MANAGEMENT})}


def test_secrets_and_hidden_attributes_are_there_and_unreadable() -> None:
    table = '[[object]]\nclass_id = 15\nobis = "0.0.40.0.0.255"\naccess = "rwx"\nhidden = [3]\n'
    one = found(model(HEAD + table), 15, "0.0.40.0.0.255")
    assert not one.attributes[7].read  # the secret
    assert one.attributes[7].write == {PUBLIC, MANAGEMENT}
    assert not one.attributes[3].read
    assert set(one.methods) == {1, 2}


@pytest.mark.parametrize(("version", "last"), [(0, 12), (1, 14)])
def test_an_object_has_the_attributes_of_its_version(version: int, last: int) -> None:
    """class_id 72 has two more since version 1: configuration, encryption_key_status."""
    table = (
        f'[[object]]\nclass_id = 72\nobis = "0.1.24.1.0.255"\nversion = {version}\naccess = "r"\n'
    )
    one = found(model(HEAD + table), 72, "0.1.24.1.0.255")
    assert one.version == version
    assert max(one.attributes) == last


def test_attributes_with_access_and_values_of_their_own() -> None:
    table = """
[[object]]
class_id = 71
obis = "0.0.17.0.0.255"
access = { management = "r" }
options = { threshold_normal = 5000 }
[object.attributes]
3 = "double-long-unsigned 7"
4 = { value = "double-long-unsigned 9", access = { management = "rw" } }
5 = { access = { public = "r" } }
"""
    one = found(model(HEAD + table), 71, "0.0.17.0.0.255")
    assert one.attributes[3].constant == Data(DataTag.DOUBLE_LONG_UNSIGNED, 7)
    assert one.attributes[4].write == {MANAGEMENT}
    assert one.attributes[5].read == {PUBLIC}
    assert one.clients == {PUBLIC, MANAGEMENT}
    assert one.options == {"threshold_normal": 5000}


def test_methods_by_client() -> None:
    table = """
[[object]]
class_id = 70
obis = "0.0.96.3.10.255"
access = "r"
methods = { 1 = { management = "x" } }
"""
    assert found(model(HEAD + table), 70, "0.0.96.3.10.255").methods == {1: {MANAGEMENT}}


def test_maximum_demand_has_its_time_beside_it() -> None:
    table = """
[[object]]
class_id = 4
obis = "1.0.1.6.0.255"
access = "r"
value = "maximum(import_w)"
unit = "W"
"""
    attributes = found(model(HEAD + table), 4, "1.0.1.6.0.255").attributes
    assert attributes[5].statistic is Statistic.MAXIMUM_AT
    assert attributes[5].tag is DataTag.OCTET_STRING
    assert attributes[2].unit == 27


def test_an_heir_has_all_of_it() -> None:
    read, parent = heir(""), model()
    assert (read.objects, read.clients, read.events) == (
        parent.objects,
        parent.clients,
        parent.events,
    )
    assert (read.meter, read.pushes) == (parent.meter, parent.pushes)


def test_an_heir_changes_key_by_key() -> None:
    read = heir(
        """
[meter]
phases = 1
[client.management]
sap = 48
[[object]]
class_id = 3
obis = "1.0.1.8.0.255"
scaler = 3
[[profile]]
obis = "1.0.99.1.0.255"
period_s = 3600
[[event_log]]
name = "standard"
[event_log.events]
power_up = 9
cover_opened = 40
"""
    )
    assert read.meter is not None
    assert (read.meter.phases, len(read.meter.channels)) == (1, 1)
    assert set(read.clients) == {PUBLIC, 48}
    energy = found(read, 3, "1.0.1.8.0.255").attributes[2]
    assert (energy.source, energy.scaler, energy.unit) == ("import_wh", 3, 30)
    assert energy.read == {48}
    assert read.profiles[LOAD].entries == 48
    assert read.events.logs["standard"].codes == {
        "power_down": 1,
        "power_up": 9,
        "cover_opened": 40,
    }


def test_an_heir_removes_and_replaces() -> None:
    removed = heir('[[alarm]]\nobis = "0.0.97.98.0.255"\nremove = true\n')
    assert removed.events.alarms == ()
    assert (1, Obis.parse("0.0.97.98.10.255")) not in removed.objects
    replaced = heir(
        '[[alarm]]\nobis = "0.0.97.98.0.255"\nreplace = true\naccess = "r"\n'
        "[alarm.bits]\npower_up = 0\n"
    )
    [alarm] = replaced.events.alarms
    assert (alarm.bits, alarm.filter_obis) == ({"power_up": 0}, None)


def test_what_is_captured_may_come_later_in_the_file() -> None:
    assert model(HEAD + PROFILE + REGISTERS + CLOCK_TABLE).profiles[LOAD].capture_objects


def test_without_clients_objects_need_no_access() -> None:
    """Of a real meter one may know scalers alone."""
    known = model(
        'name = "a"\nmaker = "b"\nsource = "c"\n'
        '[[object]]\nclass_id = 3\nobis = "1.0.1.8.0.255"\nscaler = 3\nunit = "Wh"\n'
    )
    assert not known.simulated
    assert known.scaler_units == {(3, ENERGY): ScalerUnit(3, Unit.of(30))}


@pytest.mark.parametrize("table", CLASSES.values(), ids=lambda table: table.name)
def test_tables_of_classes_are_consistent(table: object) -> None:
    for one in CLASSES.values():
        last = len(one.attributes) + 1
        assert one.settable <= set(range(2, last + 1))
        assert one.secret <= set(range(2, last + 1))
        assert set(one.usual) <= set(range(1, len(one.methods) + 1))


RELAY = (
    WHOLE.replace("{", "{{").replace("}", "}}")
    + """
[[object]]
class_id = 70
obis = "0.0.96.3.10.255"
access = "r"
options = {{ {} }}
"""
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEAD.replace("phases = 3", "phases = 4"), "meter: phases: 4 is no whole number within"),
        (HEAD.replace("phases = 3", 'zone = "Mars"\nx = 1'), "meter: there is no x"),
        (HEAD.replace("phases = 3", 'zone = "../etc"'), "meter: zone: '../etc' is no time zone"),
        (HEAD.replace("phases = 3", 'billing = "year"'), "billing: 'year' is none of day, month"),
        (HEAD.replace("phases = 3", 'transport = "tin"'), "transport: 'tin' is none of wrapper"),
        (HEAD.replace("sap = 16", "sap = 1"), "client management: sap: 1 is that of public"),
        (HEAD.replace("sap = 16", "sap = true"), "client public: sap: True is no whole number"),
        (HEAD.replace("hls_gmac", "hls_x"), "mechanism: 'hls_x' is none of none, lls, hls"),
        (HEAD.replace('"get"', '"got"'), "conformance: 'got' is none of"),
        (HEAD.replace("attempts = 3, ", ""), "client management: lock_out: attempts is missing"),
        ('name = "a"\nmaker = "b"\nsource = "c"\n[meter]', "a meter has at least one"),
        (HEAD + "[[object]]", "object number 1: class_id is missing"),
        (HEAD + "[[object]]\nclass_id = 3", "object number 1: obis is missing"),
        (HEAD + '[[object]]\nclass_id = 3\nobis = "1"', "obis: no OBIS code: '1'"),
        (WHOLE.replace("class_id = 8", "class_id = 2"), "object 2/0.0.1.0.0.255: class_id: 2 is"),
        (WHOLE.replace("class_id = 8", "class_id = 7"), "has a table of its own, [[profile]]"),
        (WHOLE + CLOCK_TABLE, "8/0.0.1.0.0.255 stands there twice"),
        (
            WHOLE.replace('"import_wh"', '"Import"'),
            "3/1.0.1.8.0.255: value: 'Import' is no data type",
        ),
        (WHOLE.replace("interval(", "middle("), "value: 'middle' is none of moment, average"),
        (WHOLE.replace('"import_wh"', '"enum 256"'), "value: 256 is not within 0..255"),
        (WHOLE.replace('unit = "Wh"', 'unit = "kWh"'), "unit: no DLMS unit: 'kWh'"),
        (WHOLE.replace("scaler = 1", "scaler = 200"), "scaler: 200 is no whole number within"),
        (WHOLE.replace("long-unsigned", "word"), "1.0.1.29.0.255: type: 'word' is no data type"),
        (WHOLE.replace('public = "r"', 'guest = "r"'), "access: there is no client guest"),
        (WHOLE.replace('public = "r"', 'public = "q"'), "access: 'q' of public is none of r, w"),
        (
            WHOLE.replace('access = { management = "rx" }\n', ""),
            "profile 1.0.99.1.0.255: access: it is missing",
        ),
        (WHOLE.replace("days = 2", ""), "profile 1.0.99.1.0.255: entries is missing"),
        (WHOLE.replace("days = 2", "days = 2\nentries = 3"), "and entries exclude each other"),
        (
            WHOLE.replace("period_s = 900\ndays", "days"),
            "profile 1.0.99.1.0.255: period_s is missing",
        ),
        (WHOLE.replace('"lifo"', '"stack"'), "sort: 'stack' is none of fifo"),
        (WHOLE.replace('"lifo"', '"smallest"'), "sort_by: goes with a sort by value"),
        (
            WHOLE.replace('"lifo"', '"lifo"\nsort_by = "1.0.1.8.0.255"'),
            "sort_by: goes with a sort by",
        ),
        (
            WHOLE.replace('"lifo"', '"largest"\nsort_by = "1.0.1.8.0.255/3"'),
            "sort_by: 1.0.1.8.0.255 is not captured",
        ),
        (
            WHOLE.replace("8.0.255/2/0", "8.0.255/9"),
            "capture: 3/1.0.1.8.0.255/9: the object has no",
        ),
        (WHOLE.replace("8.0.255/2/0", "7.0.255"), "capture: 3/1.0.1.7.0.255: there is no such"),
        (WHOLE.replace('["0.0.1.0.0.255"', '["0.0.9.0.0.255"'), "there are 0 objects of that name"),
        (WHOLE.replace('["0.0.1.0.0.255"', "[7"), "capture: 7 names no attribute"),
        (WHOLE.replace("power_up = 2", "power_on = 2"), "events: power_on: 'power_on' is no event"),
        (WHOLE.replace("power_up = 2", "power_up = -2"), "events: power_up: -2 is no whole"),
        (
            WHOLE.replace('["power_down"]', '["x"]'),
            "push_setup 0.4.25.9.0.255: on: 'x' is no event",
        ),
        (WHOLE.replace("every_s = 2.5", "every_s = nan"), "every_s: nan is no number within"),
        (WHOLE.replace('client = "management"', 'client = "x"'), "client: there is no client x"),
        (WHOLE.replace('form = "named"', 'form = "odd"'), "form: 'odd' is none of bare"),
        (WHOLE + "[[push]]", "push needs a marker"),
        (WHOLE + "[[push]]\nmarker = 1", "push number 1: marker: 1 is no text"),
        (
            WHOLE.replace("class_id = 8", "class_id = 8\nhidden = [10]"),
            "hidden: 10 is no attribute",
        ),
        (WHOLE.replace("class_id = 8", "class_id = 8\nmethods = [7]"), "methods: 7 is no method"),
        (WHOLE.replace("class_id = 8", "class_id = 8\noptions = {a=1}"), "options: there is no a"),
        (
            RELAY.format("control_mod = 4"),
            "options: there is no control_mod; there are control_mode",
        ),
        (
            RELAY.format("control_mode = 7"),
            "options: control_mode: 7 is no whole number within 0..6",
        ),
        (WHOLE.replace("class_id = 8", "class_id = 8\nversion = 1"), "version: 1 is none of 0"),
        (WHOLE + "[[alarm]]\nobis = 1", "alarm number 2: obis: 1 is no text"),
        (
            WHOLE.replace("[alarm.bits]", "[alarm.clears]\npower_up = [32]\n[alarm.bits]"),
            "clears: power_up: not all of them are bits 0 to 31",
        ),
        (WHOLE.replace("power_down = 4", "power_down = 32"), "bits: power_down: 32 is no whole"),
    ],
)
def test_what_is_wrong_is_named_with_its_table_and_key(text: str, told: str) -> None:
    with pytest.raises(LocalProtocolError, match="model a: ") as caught:
        model(text)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ('[[alarm]]\nobis = "0.0.97.98.9.255"\nremove = true', "remove: there is none in what"),
        ('[[object]]\nclass_id = 8\nobis = "0.0.1.0.0.255"\nremove = true', "0.0.1.0.0.255"),
        (
            '[[event_log]]\nname = "x"\nobis = "0.0.99.98.1.255"\nremove = true',
            "event_log x: remove: nothing stays, and yet there is obis",
        ),
        ("[client.public]\nremove = true\nsap = 16", "remove: nothing stays, and yet there is sap"),
        ('[[object]]\nclass_id = 8\nobis = "0.0.1.0.0.255"\nremove = 1', "remove: 1 is neither"),
        ("[client]\nmanagement = 1", "client management: 1 is no table"),
    ],
)
def test_what_an_heir_cannot_do_is_named(rest: str, told: str) -> None:
    with pytest.raises(LocalProtocolError, match="model h: ") as caught:
        heir(rest)
    assert told in str(caught.value)


@pytest.mark.parametrize("path", sorted(Path("config/models").glob("*.toml")), ids=lambda p: p.stem)
def test_an_heir_of_a_kept_model_that_says_nothing_is_the_same(path: Path) -> None:
    texts = [one.read_text(encoding="utf-8") for one in Path("config/models").glob("*.toml")]
    child, *kept = parse_models(
        [f'name = "child"\nmaker = "b"\nsource = "c"\ninherits = "{path.stem}"', *texts]
    )
    [parent] = [one for one in kept if one.name == path.stem]
    assert attrs.evolve(
        child, name=parent.name, maker=parent.maker, source=parent.source,
        inherits=parent.inherits, about=parent.about,
    ) == parent  # fmt: skip
