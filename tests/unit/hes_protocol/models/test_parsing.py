"""Model files: flags with clear errors, and models that inherit."""

from __future__ import annotations

from pathlib import Path

import pytest

from hes_protocol.cosem import Obis
from hes_protocol.errors import LocalProtocolError
from hes_protocol.models import (
    Model,
    parse_model,
    parse_model_files,
    parse_models,
    push_layouts,
)
from hes_protocol.profile import NullMeaning
from hes_protocol.quirks import STANDARD, Deviation, HdlcAddressing, Quirks, SelectionBy

HEAD = 'maker = "b"\nsource = "c"\n'


def document(name: str, rest: str = "") -> str:
    return f'name = "{name}"\n{HEAD}{rest}'


def model(rest: str) -> Model:
    return parse_model(document("a", rest))


def test_a_model_without_flags_is_the_standards() -> None:
    assert model("").quirks == STANDARD == Quirks()
    assert STANDARD.counter_object.get(1) is None


def test_every_flag_is_read() -> None:
    quirks = model(
        "[quirks]\nempty_system_title = true\nno_rlrq = true\ntagged_push_time = true\n"
        'selection = "entry"\ndeviation = "refused"\nnull_means = "previous"\n'
        'standard_time = true\ncounter_reuse = true\nhls_object = "0.0.40.0.1.255"\n'
        "hdlc_address = { physical = 17, size = 4 }\n"
        '[quirks.counter_object]\n1 = "0.0.43.1.1.255"\n48 = "0.0.43.1.48.255"\n'
    ).quirks
    assert (quirks.empty_system_title, quirks.no_rlrq, quirks.tagged_push_time) == (True,) * 3
    assert quirks.selection is SelectionBy.ENTRY
    assert quirks.deviation is Deviation.REFUSED
    assert quirks.null_means is NullMeaning.PREVIOUS
    assert quirks.standard_time
    assert quirks.counter_reuse
    assert quirks.hls_object.get(1) == quirks.hls_object.get(7) == Obis.parse("0.0.40.0.1.255")
    assert quirks.hdlc_address == HdlcAddressing(17, 4)
    assert quirks.counter_object.get(48) == Obis.parse("0.0.43.1.48.255")
    assert quirks.counter_object.get(7) is None


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ("[quirks]\nempty_title = true", "no flag empty_title"),
        ('[quirks]\nnot_proposed = ["gets"]', "not_proposed: 'gets' is none of"),
        ('[quirks]\nnot_proposed = "get"', "not_proposed: 'get' is no list"),
        ("[quirks]\nno_rlrq = 1", "no_rlrq: 1 is neither true nor false"),
        ('[quirks]\nno_rlrq = "yes"', "no_rlrq: 'yes'"),
        ('[quirks]\nselection = "all"', "selection: 'all' is none of range, entry"),
        ("[quirks]\nselection = true", "selection: True is none of"),
        ('[quirks]\ndeviation = ""', "deviation: '' is none of refused, required"),
        ("[quirks]\nnull_means = 0", "null_means: 0 is none of previous, missing"),
        ("[quirks]\nhls_object = 40", "hls_object: neither an OBIS code"),
        ("[quirks]\nhdlc_address = 17", "hdlc_address: no table of physical and size"),
        ("[quirks]\nhdlc_address = {}", "hdlc_address: no table of physical and size"),
        ("[quirks]\nhdlc_address = { lower = 17 }", "no table of physical and size"),
        ("[quirks]\nhdlc_address = { physical = 16384 }", "16384 is no physical device"),
        ("[quirks]\nhdlc_address = { physical = true }", "True is no physical device"),
        ("[quirks]\nhdlc_address = { size = 3 }", "3 is no size that fits"),
        ("[quirks]\nhdlc_address = { physical = 1, size = 1 }", "1 is no size that fits"),
        ("[quirks]\nhls_object = {}", "hls_object: neither an OBIS code"),
        ('[quirks]\ncounter_object = "43"', "counter_object: no OBIS code: '43'"),
        ('[quirks.counter_object]\nx = "0.0.43.1.0.255"', "counter_object: 'x' is no client SAP"),
        ('[quirks.counter_object]\n65536 = "0.0.43.1.0.255"', "'65536' is no client SAP"),
        ("[quirks.counter_object]\n1 = 43", "43 is no OBIS code"),
        ("quirks = 1", "quirks: 1 is no table"),
        ("quirk = 1", "there is no quirk"),
        ('inherits = "z"', "inherits 'z', which is no model"),
        ('inherits = "a"', "inherits itself"),
    ],
)
def test_what_is_wrong_is_named(rest: str, told: str) -> None:
    with pytest.raises(LocalProtocolError, match="model a: ") as caught:
        model(rest)
    assert told in str(caught.value)


def test_an_heir_has_what_it_does_not_set_anew() -> None:
    push = '[[push]]\nmarker = "M"\n'
    heir, parent, grandparent = parse_models(
        [
            document("heir", 'inherits = "parent"\n[quirks]\ndeviation = "required"\n'),
            document("parent", 'inherits = "old"\n[quirks]\nno_rlrq = true\n' + push),
            document("old", '[quirks]\nselection = "entry"\ndeviation = "refused"\n' + push),
        ]
    )
    assert (heir.name, heir.inherits) == ("heir", "parent")
    assert grandparent.quirks == Quirks(selection=SelectionBy.ENTRY, deviation=Deviation.REFUSED)
    assert parent.quirks == Quirks(
        no_rlrq=True, selection=SelectionBy.ENTRY, deviation=Deviation.REFUSED
    )
    assert heir.quirks == Quirks(
        no_rlrq=True, selection=SelectionBy.ENTRY, deviation=Deviation.REQUIRED
    )
    assert heir.push == parent.push != grandparent.push
    assert len(push_layouts((heir, parent, grandparent))) == 2  # inherited ones are no others


def test_an_heir_may_unset_a_flag() -> None:
    heir, _ = parse_models(
        [
            document("heir", 'inherits = "old"\n[quirks]\nno_rlrq = false\nselection = "range"\n'),
            document("old", '[quirks]\nselection = "entry"\nno_rlrq = true\n'),
        ]
    )
    assert heir.quirks == Quirks(selection=SelectionBy.RANGE)


@pytest.mark.parametrize(
    ("documents", "told"),
    [
        ([document("a", 'inherits = "b"'), document("b", 'inherits = "a"')], "inherits itself"),
        ([document("a"), document("a")], "model a: there are two"),
        ([document("a", "inherits = 1")], "inherits 1"),
        ([document("a", 'inherits = ["a"]')], "inherits a list"),
    ],
)
def test_families_that_cannot_be(documents: list[str], told: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        parse_models(documents)
    assert told in str(caught.value)


def test_a_model_is_called_as_its_file() -> None:
    files = {"heir": document("heir", 'inherits = "old"'), "old": document("old")}
    assert [kept.name for kept in parse_model_files(files)] == ["heir", "old"]
    # Where somebody copies a file, there are two of one name: both are told.
    with pytest.raises(LocalProtocolError, match=r"^model mine: name: 'old' .* mine\.toml$"):
        parse_model_files({"mine": document("old"), **files})


def test_the_kept_models_parse_and_name_their_source() -> None:
    paths = Path("config/models").glob("*.toml")
    texts = {path.stem: path.read_text(encoding="utf-8") for path in paths}
    models = {kept.name: kept for kept in parse_model_files(texts)}
    assert len(models) == len(texts) > 0
    assert all(kept.source for kept in models.values())
    gas = models["pietro-fiorentini-rse"].quirks
    assert gas.no_rlrq
    assert gas.counter_object.get(48) == Obis.parse("0.0.43.1.48.255")
    ordered = push_layouts(models.values())
    assert all(ordered[i].objects or not ordered[i + 1].objects for i in range(len(ordered) - 1))
