"""The OpenAPI document: valid, complete, and equal to the one in the repository."""

import json
from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator

from hes.api.app import ROUTES
from hes.api.openapi import document, text
from hes.api.problems import PROBLEMS
from tests.unit.hes.api.served import Api

GOLDEN = Path(__file__).resolve().parents[4] / "docs" / "reference" / "openapi.json"


def test_the_golden_document_has_not_drifted() -> None:
    advice = "run: python -m hes.api > docs/reference/openapi.json"
    assert GOLDEN.read_text() == text(ROUTES), advice


def test_it_is_valid_openapi_3_1() -> None:
    made = document(ROUTES)
    assert made["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(made).validate()


def test_it_is_served(api: Api) -> None:
    answer = api.ask("/openapi.json")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json() == json.loads(GOLDEN.read_text())


def test_every_operation_has_an_id_a_summary_and_an_example() -> None:
    operations = [
        operation for path in document(ROUTES)["paths"].values() for operation in path.values()
    ]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert operation["summary"]
        (answer,) = (said for status, said in operation["responses"].items() if status < "300")
        assert "example" in answer["content"]["application/json"]
        assert "500" in operation["responses"]


def test_every_answer_of_an_operation_is_documented() -> None:
    for route in ROUTES:
        documented = document([route])["paths"][route.path][route.method.lower()]["responses"]
        assert set(documented) == {
            *map(str, route.returns),
            *(str(PROBLEMS[code].status) for code in route.problems),
        }


def test_parameters_are_not_nullable_and_keep_their_names() -> None:
    operation = document(ROUTES)["paths"]["/v1/meters/{meter_id}/readings"]["get"]
    parameters = {each["name"]: each for each in operation["parameters"]}
    assert set(parameters) == {
        "meter_id", "channel", "obis", "source", "from", "to", "interval", "timezone", "cursor",
        "limit",
    }  # fmt: skip
    assert parameters["from"]["schema"] == {"type": "string", "format": "date-time"}
    assert parameters["meter_id"]["required"] is True
    assert parameters["limit"]["schema"]["maximum"] == 1000


def test_reading_operations_say_which_scope_they_will_need() -> None:
    for route in ROUTES:
        assert (route.scope is None) == (route.path == "/healthz")
