"""`tolqyn revisions`: the triangle as it is printed."""

import pytest

from services.shared.statistics.publication.revisions import revision_table
from tools.command import __main__ as cli
from tools.command.revisions import report

RELEASED: dict[str, list[tuple[str, float | None]]] = {
    "2025-Q1": [("2025-Q1.P1", 1000), ("2025-Q1.F1", 1040.0)],
    "2025-Q2": [("2025-Q2.P1", 2000), ("2025-Q2.P2", None), ("2025-Q2.F1", 1980)],
    "2025-Q3": [("2025-Q3.P1", None)],
}


def test_the_triangle_has_a_row_for_each_period_a_column_for_each_release_and_one_for_now() -> None:
    table = revision_table(RELEASED, {"2025-Q1": 1050, "2025-Q2": None, "2025-Q3": 7})
    assert report("Q.ARRIVALS._T._T._T._Z", 0, table) == [
        "Revisions of Q.ARRIVALS._T._T._T._Z",
        "",
        "period   release 1  release 2  release 3    now",
        "2025-Q1   1,000 P1   1,040 F1             1,050",
        "2025-Q2   2,000 P1       - P2   1,980 F1      -",
        "2025-Q3       - P1                            7",
        "",
        "release 1 to release 2: 2 periods, MR +20.00, MAR 20.00, RMAR 0.0132",
        "release 1 to release 3: 1 period, MR -20.00, MAR 20.00, RMAR 0.0101",
        "release 1 to now: 2 periods, MR +25.00, MAR 25.00, RMAR 0.0164",
    ]


def test_the_table_for_programs_has_no_column_for_now() -> None:
    table = revision_table({"2025-Q1": RELEASED["2025-Q1"]})
    assert table == {
        "rows": [
            {
                "period": "2025-Q1",
                "vintages": [{"release": "2025-Q1.P1", "value": 1000}, {"release": "2025-Q1.F1", "value": 1040.0}],
            }
        ],
        "measures": [{"to": "release 2", "periods": 1, "MR": 40.0, "MAR": 40.0, "RMAR": 40 / 1040}],
    }


@pytest.mark.parametrize(("series", "said"), [("NOPE", "there is no indicator NOPE"), ("Q.ARRIVALS", "a series has 6 parts")])
def test_a_series_that_cannot_be_is_a_usage_error(series: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["revisions", series]) == 2
    assert said in capsys.readouterr().err
