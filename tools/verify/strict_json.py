"""Record values that are not written the plain way, read one by one by a strict JSON reader.

DuckDB's own reader lets some things pass that are no JSON (`{"a":1,}`, `NaN`). So SQL is only given values of a plain form, or ones
that went through here. The log has few of the latter: texts with escapes, and whatever somebody wrote past the ingest services.
"""

import json
from typing import Any, NoReturn

# One object in one line: texts without escapes, numbers that any reader takes. RE2 and Rust's regex both take it.
_STRING, _NUMBER = r'"[^"\\\x00-\x1f]*"', r"-?(?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,15})?"
_PAIR = rf'"[a-z_]+":(?:{_STRING}|{_NUMBER})'
PLAIN = rf"^\{{{_PAIR}(?:,{_PAIR})*\}}$"

INTEGER_CHARACTERS_MAX = 20  # 2^64 has twenty digits

_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\0")  # half a character is none: no text of the contract holds a NUL


class _NotJson(ValueError):
    pass


def _first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a name that comes twice the first counts."""
    return dict(reversed(pairs))


def _refuse(text: str) -> NoReturn:
    raise _NotJson(text)


def _number(text: str) -> float:
    number = float(text)
    return number if abs(number) != float("inf") else _refuse(text)


def _integer(text: str) -> int:
    """An integer that 64 bits hold: readers do not agree about larger ones, so the log has none."""
    return int(text) if len(text) <= INTEGER_CHARACTERS_MAX and -(1 << 63) <= int(text) < 1 << 64 else _refuse(text)


def plain_object(value: str) -> str | None:
    """The same object in a form that every JSON reader understands alike; None if the value is not one JSON object in one line."""
    if "\n" in value:
        return None
    try:
        read = json.loads(value, object_pairs_hook=_first_of_each, parse_int=_integer, parse_float=_number, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not isinstance(read, dict):
        return None
    return json.dumps(_whole(read), ensure_ascii=False, separators=(",", ":"))


def _whole(value: Any) -> Any:
    """Texts with half characters replaced, at the top level, where the fields are."""
    return {k.translate(_SURROGATES): v.translate(_SURROGATES) if isinstance(v, str) else v for k, v in value.items()}
