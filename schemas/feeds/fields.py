"""Field types that feeds share, and what every record has in common (contract, section 1).

A type's description is the rule in words: it stands in the JSON Schema and, when a value breaks it, in the refusal. Rules that
need more than one value or a clock are marked here and applied at the edge: `Moment`, `Day` and `Identity`.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, StringConstraints, with_config
from pydantic_core import CoreSchema, core_schema
from typing_extensions import TypedDict

from schemas.feeds.codes import COUNTRIES

VERSION_MAX = 2**53 - 1  # the greatest integer that every JSON reader keeps exact
UNNUMBERED = 0  # what an event says where the agency gave no version: no agency can send it
NUMBER_MAX = 10**15  # no figure about people comes near; sums of figures stay exact in a double
TEXT = r"^[^\x00-\x1f\x7f]*$"  # control characters (PostgreSQL cannot even hold NUL) have no place in a name
LINES = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"  # the same, for a text of several lines
DAY_PATTERN = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"
MOMENT_PATTERN = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt]"
    r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)

# hide_input_in_errors: no refusal may repeat what was sent, not even by accident in a traceback.
RECORD_CONFIG = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)
WITHDRAWAL_CONFIG = ConfigDict(extra="ignore", strict=True, hide_input_in_errors=True)


@dataclass(frozen=True)
class OneOf:
    """A code list: a string that is one of `values`."""

    values: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.literal_schema(list(self.values))


@dataclass(frozen=True)
class Moment:
    """Marks a time of an event: normalised to UTC milliseconds; not before 2000, not over 24 hours in the future."""


@dataclass(frozen=True)
class Day:
    """Marks a date: it exists, and is not before 2000. `event`: a day of the event itself, so not over 24 hours in the future."""

    event: bool


@dataclass(frozen=True)
class Identity:
    """Marks a value that is replaced by a keyed pseudonym before anything is written anywhere."""


RecordId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:/-]*$"),
    Field(description="1 to 64 of A-Z a-z 0-9 . _ : / -"),
]
Version = Annotated[int, Field(ge=1, le=VERSION_MAX, description="an integer from 1 to 2^53 - 1; the highest version counts")]
Country = Annotated[str, OneOf(COUNTRIES), Field(description="an ISO 3166-1 alpha-2 code in upper case, or XX for unknown")]
Person = Annotated[
    str,
    Identity(),
    StringConstraints(min_length=1, max_length=64),
    Field(description="a string of 1 to 64 characters; only a keyed pseudonym of it is kept"),
]
EventTime = Annotated[
    str,
    Moment(),
    StringConstraints(pattern=MOMENT_PATTERN),
    Field(
        description="an RFC 3339 time with an offset, not before 2000, at most 24 hours in the future",
        json_schema_extra={"format": "date-time"},
    ),
]
EventDay = Annotated[
    str,
    Day(event=True),
    StringConstraints(pattern=DAY_PATTERN),
    Field(
        description="a date YYYY-MM-DD, not before 2000-01-01, at most 24 hours in the future",
        json_schema_extra={"format": "date"},
    ),
]
OtherDay = Annotated[
    str,
    Day(event=False),
    StringConstraints(pattern=DAY_PATTERN),
    Field(description="a date YYYY-MM-DD from 2000-01-01 to 9999-12-30", json_schema_extra={"format": "date"}),
]
Direction = Annotated[Literal["arrival", "departure"], Field(description="arrival or departure")]
Purpose = Annotated[
    Literal["unspecified", "employment", "education", "tourism", "private", "business", "medical", "transit", "residence"],
    Field(
        default="unspecified",
        description="one of unspecified employment education tourism private business medical transit residence",
    ),
]


class Record(TypedDict):
    """What every record begins with."""

    record_id: RecordId
    version: NotRequired[Version]
    action: Annotated[Literal["record"], Field(default="record", description="record or withdraw")]


@with_config(WITHDRAWAL_CONFIG)
class Withdrawal(TypedDict):
    """Removes a record from every figure, against lower versions. Whatever else is sent with it is ignored, valid or not."""

    record_id: RecordId
    version: NotRequired[Version]
    action: Annotated[Literal["withdraw"], Field(description="record or withdraw")]


def annotations(model: type) -> dict[str, tuple[Any, ...]]:
    """Per field of a record type, in its order: the metadata of its annotation."""
    found = {}
    for name, hint in get_type_hints(model, include_extras=True).items():
        bare = get_args(hint)[0] if get_origin(hint) is NotRequired else hint
        found[name] = getattr(bare, "__metadata__", ())
    return found


def codes(model: type, field: str) -> tuple[str, ...]:
    """The code list of a field, in its order. Raises LookupError for a field without one."""
    hint = get_type_hints(model, include_extras=True)[field]
    bare = get_args(hint)[0] if get_origin(hint) is NotRequired else hint
    kind, *marks = get_args(bare)
    if get_origin(kind) is Literal:
        return get_args(kind)
    for mark in marks:
        if isinstance(mark, OneOf):
            return mark.values
    raise LookupError(f"{model.__name__}.{field} has no code list")
