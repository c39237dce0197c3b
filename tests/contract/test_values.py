"""What the services write is what the generated schemas say, and what the edge takes, they can work with."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from pydantic import TypeAdapter

from schemas import generate, values
from schemas.feeds import FEEDS
from schemas.feeds.fields import annotations
from services.shared.feeds.catalogue import RULES
from services.shared.ingest.calendar_rules import latest
from services.shared.ingest.columns import Columns
from services.shared.ingest.edge import Edge
from services.shared.ingest.submission import prepare
from services.shared.statistics.aggregation.aggregates import Aggregates
from services.shared.statistics.estimation.informality import MEASURES, estimates
from services.shared.statistics.estimation.open_quarter import nowcasts
from services.shared.statistics.exchange.records import Records
from services.tally.partition import PartitionFold

EXAMPLES = Path(generate.__file__).parent / "examples"
NOW_MS = time.time_ns() // 1_000_000


def _sheets(feed: str, records: list[dict[str, Any]]) -> dict[str, bytes]:
    """The day sheets of these records, each under an id of its own."""
    raws = [json.dumps(record | {"record_id": f"r{i}"}).encode() for i, record in enumerate(records)]
    edge = Edge(FEEDS[feed], b"k" * 32, "0123abcd")
    prepared = prepare(Columns(edge, left_min=1), "knb", raws, 1, latest(NOW_MS))
    assert prepared.refusals == {}
    [events] = prepared.events
    n = len(events)
    fold = PartitionFold(RULES[feed])
    header = (("schema", FEEDS[feed].schema_header),)
    fold.fold(Records(list(range(n)), [NOW_MS] * n, [k for k, _ in events], [v for _, v in events], [header] * n))
    return dict(fold.all_sheets())


def _examples(feed: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in sorted((EXAMPLES / feed / "valid").glob("*.json"))]


def _check(name: str) -> Callable[[Any], None]:
    """Raises ValidationError unless a value is of the generated schema."""
    check: Callable[[Any], None] = jsonschema.Draft202012Validator(generate.schemas()[f"{name}.schema.json"]).validate
    return check


ENTRIES: dict[str, Any] = {
    "reference": values.ReferenceEntry,
    "violations": values.ViolationsEntry,
    "reporting": values.ReportingEntry,
    "corrections": values.CorrectionsEntry,
}


def _check_fields(entry: Any) -> None:
    """An aggregate has the fields of the type that the services read it by, and no other."""
    kind = ENTRIES.get(entry["measure"], values.CountEntry)
    assert kind.__required_keys__ <= entry.keys() <= kind.__required_keys__ | kind.__optional_keys__, entry
    TypeAdapter(kind).validate_python(entry, strict=True)


def test_a_stated_figure_has_the_fields_of_a_reference_figure_but_for_its_envelope() -> None:
    fields = annotations(FEEDS["reference-figures"].record)
    assert set(values.StatedFigure.__annotations__) == fields.keys() - {"record_id", "version", "action", "person"}


def test_a_count_may_have_every_dimension_and_nothing_else() -> None:
    assert values.CountEntry.__optional_keys__ == set(get_args(values.Dimension))


def test_every_valid_example_can_be_counted_and_every_value_on_the_way_is_of_its_schema() -> None:
    aggregates = Aggregates()
    check = _check("sheet")
    for feed in FEEDS:
        sheets = _sheets(feed, _examples(feed))
        assert sheets
        for sheet in sheets.values():
            check(json.loads(sheet))
        aggregates.apply(feed, 0, dict(sheets))
    entries = {key: json.loads(value) for key, value in aggregates.changes(NOW_MS).items() if value is not None}
    assert {entry["measure"] for entry in entries.values()} >= {"arrivals", "permits_in_force", "students", "reference"}
    check = _check("aggregate")
    for entry in entries.values():
        check(entry)
        _check_fields(entry)
    found = estimates({key: entry for key, entry in entries.items() if entry["measure"] in MEASURES}, NOW_MS)
    found |= nowcasts(entries, NOW_MS)
    assert any(estimate["method"] == "NOWCAST" for estimate in found.values())
    assert any("absent" in estimate for estimate in found.values())
    assert any("value" in estimate for estimate in found.values())
    check = _check("estimate")
    for estimate in found.values():
        check(estimate)
        assert estimate.get("inputs", {}).keys() <= values.Inputs.__optional_keys__, estimate


@pytest.mark.parametrize("period", ["2024", "2024-S1", "2024-S2", "2024-Q3", "2024-06", "2024-06-30", "2024/25"])
@pytest.mark.parametrize("figure", ["INFORMAL_SHARE", "MIGRANT_WORKERS_STOCK", "FOREIGN_STUDENTS_TARGET", "SIMULATION_SCALE"])
def test_a_reference_figure_of_every_kind_of_period_can_be_worked_with(figure: str, period: str) -> None:
    [record] = [r for r in _examples("reference-figures") if r.get("period") == "2025-Q2"]
    aggregates = Aggregates()
    others = [record | {"figure": other, "period": "2024"} for other in ("INFORMAL_SHARE", "MIGRANT_WORKERS_STOCK")]
    aggregates.apply(
        "reference-figures", 0, dict(_sheets("reference-figures", [*others, record | {"figure": figure, "period": period}]))
    )
    entries = {key: json.loads(value) for key, value in aggregates.changes(NOW_MS).items() if value is not None}
    estimates(entries, NOW_MS)


def test_the_last_day_that_the_edge_takes_can_be_counted() -> None:
    [permit] = [r for r in _examples("work-permits") if r.get("valid_to") == "2031-12-31"]
    assert "9999-12-31" in _sheets("work-permits", [permit | {"valid_to": "9999-12-30"}])
