"""Whatever a model file holds, reading it ends in models or in a typed error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes_protocol.axdr import Data
from hes_protocol.errors import LocalProtocolError
from hes_protocol.models import parse_models
from hes_protocol.models.notation import (
    read_access,
    read_attribute_name,
    read_constant,
    read_source,
)

TEXTS = tuple(path.read_text(encoding="utf-8") for path in Path("config/models").glob("*.toml"))
[PARENT] = (text for text in TEXTS if text.startswith('name = "is-15959"'))
LONGEST = tuple(
    text
    for text in TEXTS
    if re.search('^name = "(idis|is-15959)-single-phase"', text, re.MULTILINE)
)
VALUES = st.sampled_from(
    ("true", "-1", "1e300", "nan", "inf", '""', '"x"', "[]", "{}", "[[]]", "1979-05-27", "0",
     '"\\u0000"', "99999999999999999999", '"0.0.1.0.0.255"', "{ array = [] }",
     '"enum 1"', '"rwx"', "[1, 2]")
)  # fmt: skip
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)


def read(texts: tuple[str, ...]) -> None:
    """Must not raise anything else."""
    try:
        parse_models(texts)
    except LocalProtocolError as error:
        assert str(error).startswith("model")
        assert len(str(error)) < 1500


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    read((text,))


@given(st.data())
def test_any_value_for_any_key_of_real_files(data: st.DataObject) -> None:
    """One value of a kept file is another one."""
    text = data.draw(st.sampled_from(LONGEST))
    places = [match.span(1) for match in re.finditer(r"= (.+)$", text, re.MULTILINE)]
    start, end = data.draw(st.sampled_from(places))
    changed = text[:start] + data.draw(VALUES) + text[end:]
    read((changed, PARENT))


@given(st.data())
def test_any_line_left_out_or_twice(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(LONGEST))
    lines = text.split("\n")
    place = data.draw(st.integers(0, len(lines) - 1))
    times = data.draw(st.sampled_from((0, 2)))
    changed = "\n".join(lines[:place] + lines[place : place + 1] * times + lines[place + 1 :])
    read((changed, PARENT))


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 100_000, "a = " + "9" * 10_000, 'name = ["a"]', "name = 1", "[name]", "\x00"],
)
def test_what_breaks_readers(text: str) -> None:
    with pytest.raises(LocalProtocolError):
        parse_models([text])


@given(ANYTHING)
def test_notation_of_anything(value: Any) -> None:
    """Each reader understands it, or says ValueError."""
    for reader in (
        read_constant,
        read_source,
        read_attribute_name,
        lambda value: read_access(value, {"a": 1}),
    ):
        try:
            found = reader(value)
        except ValueError:
            continue
        assert found is None or isinstance(found, (Data, tuple, dict))


def test_nesting_ends_somewhere() -> None:
    value: Any = "enum 1"
    for _ in range(50):
        value = [value]
    with pytest.raises(ValueError, match="nested deeper"):
        read_constant(value)
