"""SDMX-CSV and JSON of the same rows: sorted, absent values empty, the same bytes whatever the order."""

import csv
import io
import json
import random
from datetime import UTC, datetime

from services.shared.runtime.postgres.store import Published
from services.shared.statistics.publication.sdmx_csv import to_csv, to_json

AT = datetime(2025, 7, 1, 4, 12, 45, 678_900, tzinfo=UTC)


def row(series: str, period: str, value: float | None = 1, **changes: object) -> Published:
    plain = Published(series, period, value, None, None, "crossings", 0, "P", "F", 7, AT)
    return plain._replace(**changes)  # type: ignore[arg-type]


ROWS = [
    row("Q.ARRIVALS._T._T._T._Z", "2025-Q1", 30774),
    row("Q.ARRIVALS._T._T._T._Z", "2025-Q2", 43700),
    row("A.ARRIVALS._T._T._T._Z", "2025", 74474),
    row("Q.INFORMAL_SHARE._T._T._T.SURVEY", "2025-Q2", 34.0, lower=31.87321, upper=36.19, unit="percent", decimals=1, status="E"),
    row("Q.PERMITS_IN_FORCE.CN._T._T._Z", "2025-Q2", None, status="Q", confidentiality="A"),
]


def test_rows_are_sorted_by_key_and_the_bytes_do_not_depend_on_the_order_given() -> None:
    expected = to_csv(ROWS)
    for seed in range(5):
        shuffled = random.Random(seed).sample(ROWS, len(ROWS))
        assert to_csv(shuffled) == expected
        assert to_json(shuffled) == to_json(ROWS)
    keys = [(r["FREQ"], r["INDICATOR"], r["TIME_PERIOD"]) for r in csv.DictReader(io.StringIO(expected))]
    assert keys == sorted(keys)


def test_the_header_and_a_row_are_as_sdmx_csv_2_says() -> None:
    header, first, *_ = to_csv(ROWS).split("\n")
    assert header == (
        "STRUCTURE,STRUCTURE_ID,ACTION,FREQ,INDICATOR,COUNTERPART_AREA,PURPOSE,CATEGORY,METHOD,TIME_PERIOD,OBS_VALUE,LOWER,UPPER,"
        "UNIT_MEASURE,DECIMALS,OBS_STATUS,CONF_STATUS,AS_OF,PUBLISHED_AT"
    )
    assert first == ("dataflow,TOLQYN:KZ_MIG(1.0),I,A,ARRIVALS,_T,_T,_T,_Z,2025,74474,,,crossings,0,P,F,7,2025-07-01T04:12:45.678Z")


def test_an_absent_value_is_an_empty_cell_in_csv_and_null_in_json() -> None:
    cells = {r["INDICATOR"]: r for r in csv.DictReader(io.StringIO(to_csv(ROWS)))}
    assert cells["PERMITS_IN_FORCE"]["OBS_VALUE"] == ""
    assert cells["ARRIVALS"]["LOWER"] == cells["ARRIVALS"]["UPPER"] == ""
    objects = {o["INDICATOR"]: o for o in json.loads(to_json(ROWS))}
    assert objects["PERMITS_IN_FORCE"]["OBS_VALUE"] is None


def test_a_zero_is_not_an_absent_value() -> None:
    (balance,) = csv.DictReader(io.StringIO(to_csv([row("Q.BORDER_BALANCE._T._T._T._Z", "2025-Q2", 0)])))
    assert balance["OBS_VALUE"] == "0"


def test_values_keep_their_full_precision() -> None:
    third = 100 / 3
    (share,) = csv.DictReader(io.StringIO(to_csv([row("Q.ARRIVALS_SHARE.UZ._T._T._Z", "2025-Q2", third, decimals=1)])))
    assert float(share["OBS_VALUE"]) == third


def test_text_with_commas_and_quotes_is_quoted_so_that_a_reader_gets_it_back() -> None:
    odd = 'persons, so-called "movements"\nof a quarter'
    (read,) = csv.DictReader(io.StringIO(to_csv([row("Q.X._T._T._T._Z", "2025-Q2", unit=odd)])))
    assert read["UNIT_MEASURE"] == odd


def test_nothing_published_is_a_header_alone() -> None:
    assert to_csv([]).count("\n") == 1
    assert json.loads(to_json([])) == []
