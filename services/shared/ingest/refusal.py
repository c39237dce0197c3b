"""Why a record is refused: a code of the contract's closed list, where, and the rule in words. Never what was sent."""

import json
import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple, NoReturn

from pydantic import ValidationError
from pydantic_core import ErrorDetails

POINTER_CHARACTERS_MAX = 64  # of an unknown field's name: enough to find it, too little to smuggle a record back out


class Code(StrEnum):
    """The closed list of contract section 2."""

    MALFORMED_JSON = "malformed_json"
    MISSING_FIELD = "missing_field"
    UNKNOWN_FIELD = "unknown_field"
    INVALID_TYPE = "invalid_type"
    INVALID_VALUE = "invalid_value"
    OUT_OF_RANGE = "out_of_range"
    FUTURE_TIME = "future_time"
    TOO_LARGE = "too_large"


class Refusal(NamedTuple):
    """One refused record: code, JSON pointer ("" is the record itself), and a sentence without any sent value."""

    code: Code
    pointer: str
    detail: str


RECORD_BYTES_MAX = 64 << 10  # a hundred times a usual record; a broker's batch always holds several
TOO_LARGE = Refusal(Code.TOO_LARGE, "", f"a record has at most {RECORD_BYTES_MAX} bytes")
MALFORMED = Refusal(Code.MALFORMED_JSON, "", "not one JSON value in UTF-8")

# pydantic's error types. Every other type that a record can give is a value outside its pattern or list.
_CODES = {
    "missing": Code.MISSING_FIELD,
    "extra_forbidden": Code.UNKNOWN_FIELD,
    "dict_type": Code.INVALID_TYPE,
    "string_type": Code.INVALID_TYPE,
    "int_type": Code.INVALID_TYPE,
    "float_type": Code.INVALID_TYPE,
    "string_too_short": Code.OUT_OF_RANGE,
    "string_too_long": Code.OUT_OF_RANGE,
    "greater_than": Code.OUT_OF_RANGE,
    "greater_than_equal": Code.OUT_OF_RANGE,
    "less_than_equal": Code.OUT_OF_RANGE,
    "finite_number": Code.OUT_OF_RANGE,
}

_SENTENCES = {
    Code.MISSING_FIELD: "required",
    Code.INVALID_TYPE: "not of the right JSON type",
    Code.INVALID_VALUE: "not an allowed value",
    Code.OUT_OF_RANGE: "outside the bounds",
    Code.FUTURE_TIME: "more than 24 hours in the future",
}


def refusal(code: Code, field: str, rules: Mapping[str, str]) -> Refusal:
    """A refusal of a known field; the detail ends with the field's rule."""
    return Refusal(code, "/" + field, f"{_SENTENCES[code]}: {rules[field]}")


def from_pydantic(error: ValidationError, record: object, identities: tuple[str, ...], rules: Mapping[str, str]) -> Refusal:
    """The first error of a record that is JSON, as a refusal."""
    errors = error.errors(include_url=False, include_context=False)
    first = errors[0]
    if first["type"] == "json_invalid":
        return MALFORMED
    if not first["loc"]:
        return Refusal(Code.INVALID_TYPE, "", "a record is a JSON object")
    field = str(first["loc"][0])
    # A number may be whole or not: it is of the wrong type only if it is neither.
    codes = [_code(e) for e in errors if e["loc"][:1] == (field,)]
    code = next((c for c in codes if c is not Code.INVALID_TYPE), codes[0])
    if code is Code.UNKNOWN_FIELD:
        return Refusal(code, _unknown(field, record, identities), "this feed has no such field")
    return refusal(code, field, rules)


def _code(error: ErrorDetails) -> Code:
    if error["type"] == "literal_error" and not isinstance(error["input"], str):
        return Code.INVALID_TYPE  # all code lists are strings
    return _CODES.get(error["type"], Code.INVALID_VALUE)


def _unknown(field: str, record: object, identities: tuple[str, ...]) -> str:
    """The pointer to an unknown field: its name, unless the name repeats what must never be repeated."""
    if isinstance(record, dict):
        secrets = [str(record[name]) for name in identities if record.get(name)]
        if any(secret in field for secret in secrets):
            return ""
    return "/" + field[:POINTER_CHARACTERS_MAX].replace("~", "~0").replace("/", "~1")


def parse(raw: bytes) -> Any:
    """One JSON value, strictly: NaN and Infinity, which Python would take, are no JSON. ValueError if it is none."""
    try:
        return json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _no_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")


def number_literal(text: str) -> bool:
    """Whether a text, as a CSV cell has it, is a JSON number."""
    try:
        value = parse(text.encode("utf-8", "surrogateescape"))
    except ValueError:
        return False
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isinf(value) and text == text.strip()
