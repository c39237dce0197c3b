"""The examples in schemas/examples: valid ones become events, each invalid one is refused with the code that it is named for."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from schemas import generate
from schemas.feeds import FEEDS
from services.shared.ingest.calendar_rules import latest
from services.shared.ingest.columns import Columns
from services.shared.ingest.edge import Edge
from services.shared.ingest.refusal import Code, Refusal
from services.shared.ingest.submission import prepare

EXAMPLES = Path(generate.__file__).parent / "examples"
EDGES = {name: Edge(feed, b"k" * 32, "0123abcd") for name, feed in FEEDS.items()}
LATEST = latest(time.time_ns() // 1_000_000)
# What JSON Schema cannot say: it has no clock, no calendar, no order of two fields, no size of a whole record.
BEYOND_SCHEMA = re.compile(
    r"future_time|too_large|.*no-such-day|.*before-2000|.*time-before|.*valid-to-|.*ended-|.*version-fraction"
)


def _files(kind: str) -> Iterator[tuple[str, Path]]:
    for name in FEEDS:
        for path in sorted((EXAMPLES / name / kind).glob("*.json")):
            yield name, path


def _named(kind: str) -> list[object]:
    return [pytest.param(name, path, id=f"{name}-{path.stem}") for name, path in _files(kind)]


@pytest.mark.parametrize(("feed", "path"), _named("valid"))
def test_a_valid_example_becomes_an_event_of_the_generated_schema(feed: str, path: Path) -> None:
    raw = path.read_bytes()
    prepared = prepare(Columns(EDGES[feed], left_min=1), "knb", [raw], 1, LATEST)
    assert prepared.refusals == {}
    [[(key, value)]] = prepared.events
    assert key == b"knb/" + json.loads(raw)["record_id"].encode()
    jsonschema.validate(json.loads(raw), generate.submitted(FEEDS[feed]))
    jsonschema.validate(json.loads(value), generate.stored(FEEDS[feed]))


@pytest.mark.parametrize(("feed", "path"), _named("invalid"))
def test_an_invalid_example_is_refused_with_the_code_that_it_is_named_for(feed: str, path: Path) -> None:
    pointers = json.loads((EXAMPLES / feed / "invalid" / "pointers.index").read_text("utf-8"))
    outcome = EDGES[feed].check(path.read_bytes(), LATEST)
    assert isinstance(outcome, Refusal)
    assert (outcome.code, outcome.pointer) == (path.stem.partition("--")[0], pointers[path.stem])
    assert outcome.detail


@pytest.mark.parametrize(("feed", "path"), _named("invalid"))
def test_the_generated_schema_refuses_what_it_can(feed: str, path: Path) -> None:
    if path.stem.startswith("malformed_json") or BEYOND_SCHEMA.match(path.stem):
        return
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(path.read_bytes()), generate.submitted(FEEDS[feed]))


@pytest.mark.parametrize("feed", FEEDS)
def test_every_code_of_the_closed_list_has_an_example(feed: str) -> None:
    assert {path.stem.partition("--")[0] for name, path in _files("invalid") if name == feed} == set(Code)


def test_the_generated_schemas_are_those_of_the_types() -> None:
    assert generate.main(["--check"]) == 0


def test_a_difference_in_a_generated_schema_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    assert generate.main([]) == 0
    (tmp_path / "sheet.schema.json").write_text("{}")
    assert generate.main(["--check"]) == 1
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
