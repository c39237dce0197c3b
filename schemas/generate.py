"""JSON Schemas of everything that crosses a service's border, and the SDMX structures, written to `schemas/generated/`.

`python -m schemas.generate` writes them, `--check` only compares (exit 1 on a difference). Per feed two: `<feed>.schema.json`, what
an agency sends, and `<feed>.event.schema.json`, what stands in the log. Limits that need a clock or two fields are in words only.
`sdmx-structures.json` is an SDMX-JSON 2.0 structure message.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from schemas.feeds import FEEDS, Feed
from schemas.feeds.fields import UNNUMBERED, Identity, Moment, Withdrawal, annotations
from schemas.sdmx import structure_json
from schemas.sdmx.structures import UnnamedCode
from schemas.values import Aggregate, Estimate, Indicator, Quality, Rejection, Sheet

FOLDER = Path(__file__).parent / "generated"
VALUES: dict[str, Any] = {
    "sheet": Sheet,
    "aggregate": Aggregate,
    "estimate": Estimate,
    "indicator": Indicator,
    "quality": Quality,
    "rejection": Rejection,
}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def _has(model: type, field: str, kind: type) -> bool:
    return any(isinstance(item, kind) for item in annotations(model)[field])


def submitted(feed: Feed) -> Schema:
    """What an agency sends: a record, or a withdrawal."""
    title = f"{feed.name}: a record as the {feed.sent_by} may send it"
    record = TypeAdapter(feed.record).json_schema()
    return {"$schema": _DIALECT, "title": title, "anyOf": [record, TypeAdapter(Withdrawal).json_schema()]}


def stored(feed: Feed) -> Schema:
    """What stands in the log: defaults filled, times in UTC milliseconds, pseudonyms with the id of their key."""
    record = TypeAdapter(feed.record).json_schema()
    properties: Schema = record["properties"]
    identities = []
    for field, schema in properties.items():
        if _has(feed.record, field, Moment):
            schema["pattern"] = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"
            schema["description"] = "UTC, milliseconds"
        if _has(feed.record, field, Identity):
            properties[field] = {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "keyed BLAKE2b-128 of what was sent"}
            identities.append(field)
    properties["pseudonym_key"] = {
        "type": "string",
        "pattern": "^[0-9a-f]{8}$",
        "description": "id of the key behind the pseudonyms",
    }
    version = properties["version"] = properties["version"] | {
        "minimum": UNNUMBERED,
        "description": f"the agency's version; {UNNUMBERED} if it gave none: below every other, and the last in the log counts",
    }
    filled = ["version", *(field for field, schema in properties.items() if "default" in schema)]
    record["required"] = [field for field in properties if field in record["required"] or field in filled]
    record["dependentRequired"] = {field: ["pseudonym_key"] for field in identities}
    withdrawal = TypeAdapter(Withdrawal).json_schema()
    withdrawal["properties"]["version"] = version
    withdrawal |= {"additionalProperties": False, "required": ["record_id", "version", "action"]}
    return {"$schema": _DIALECT, "title": f"{feed.name}: an event in {feed.topic}", "anyOf": [record, withdrawal]}


def schemas() -> dict[str, Schema]:
    """Every generated file by name."""
    made = {f"{feed.name}.schema.json": submitted(feed) for feed in FEEDS.values()}
    made |= {f"{feed.name}.event.schema.json": stored(feed) for feed in FEEDS.values()}
    made |= {f"{name}.schema.json": {"$schema": _DIALECT} | TypeAdapter(value).json_schema() for name, value in VALUES.items()}
    return made | {"sdmx-structures.json": structure_json.everything()}


def main(arguments: list[str] | None = None) -> int:
    """Write or compare; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m schemas.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name the files that differ")
    check = parser.parse_args(arguments).check
    try:
        texts = {name: json.dumps(schema, indent=1, ensure_ascii=False) + "\n" for name, schema in schemas().items()}
    except UnnamedCode as error:
        sys.stderr.write(f"{error}\n")
        return 1
    FOLDER.mkdir(exist_ok=True)
    found = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.json")}
    if check:
        different = sorted(name for name in texts.keys() | found.keys() if texts.get(name) != found.get(name))
        for name in different:
            sys.stderr.write(f"schemas/generated/{name} is not what the types say: run python -m schemas.generate\n")
        return 1 if different else 0
    for name, text in texts.items():
        (FOLDER / name).write_text(text, "utf-8")
    for name in found.keys() - texts.keys():
        (FOLDER / name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
