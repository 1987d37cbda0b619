"""docs/reference/models.md is what the files say today; examples of the how-to do what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hes.models import models
from hes_protocol.cosem import Obis
from hes_protocol.errors import LocalProtocolError
from hes_protocol.models import parse_models
from tests.models_page import PAGE, page


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tests.models_page`"


def test_every_model_is_on_it() -> None:
    text = page()
    for model in models():
        assert model.name in text
        assert model.source in text


def test_the_example_of_the_how_to_is_a_model_that_can_be_simulated() -> None:
    how_to = (PAGE.parents[1] / "how-to" / "add-a-meter-model.md").read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(.*?)```", how_to, re.DOTALL)
    [whole] = [example for example in examples if example.startswith("name = ")]
    parent = Path("config/models/hes-household.toml").read_text(encoding="utf-8")
    made, _ = parse_models([whole, parent])
    assert made.simulated
    assert (70, Obis.parse("0.0.96.3.10.255")) in made.objects
    assert made.profiles[Obis.parse("1.0.99.1.0.255")].entries == 720
    with pytest.raises(LocalProtocolError) as caught:
        parse_models([whole.replace('management = "rwx"', 'managment = "rwx"'), parent])
    assert f"hes: {caught.value}" in how_to


def test_the_tables_of_a_known_meter_need_no_more_than_the_how_to_says() -> None:
    how_to = (PAGE.parents[1] / "how-to" / "add-a-meter-model.md").read_text(encoding="utf-8")
    last = re.findall(r"```toml\n(.*?)```", how_to, re.DOTALL)[-1]
    [known] = parse_models([f'name = "a"\nmaker = "b"\nsource = "c"\n{last}'])
    assert str(known.scaler_units[3, Obis.parse("1.0.1.8.0.255")].unit) == "Wh"
