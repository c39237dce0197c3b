"""What the benchmark shows: tables and chart say what was measured, and nothing else."""

import json
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from bench.report import BEGIN, END, LATEST, README, chart, details, pages, ranked, section
from bench.table import markdown, number, printed
from bench.targets import TARGETS


def contestant(rate: int, exact: bool = True) -> dict[str, Any]:
    return {
        "records_per_second": rate, "records_per_second_min": rate - 10, "records_per_second_max": rate + 10,
        "cpu_us_per_record": 2.5, "memory_mb": 300, "records": 1_000_000, "exact": exact,
    }  # fmt: skip


RESULT: dict[str, Any] = {
    "tally": contestant(500_000),
    "peers": {"quix": contestant(25_000), "pathway": contestant(250_000, exact=False), "kafka_streams": contestant(50_000)},
    "limit": {name: {"records_per_second": 2_000_000} for name in ("fetch", "java_consumer", "decode")},
    "machine": {"cores": 2},
    "date": "2025-07-01",
}


@pytest.mark.parametrize(
    ("value", "text"), [(412_345, "412,000"), (1000, "1,000"), (999.4, "999"), (3.4159, "3.42"), (0.0712, "0.0712"), (0, "0")]
)
def test_figures_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_a_table_in_a_terminal_has_its_columns_in_line() -> None:
    assert printed(("a", "n"), [("long", "1"), ("b", "1,000")]) == "a         n\n----  -----\nlong      1\nb     1,000"


def test_a_table_in_markdown() -> None:
    assert markdown(("a", "n"), [("b", "1")]) == "| a | n |\n| --- | ---: |\n| b | 1 |"


def test_the_fastest_comes_first_and_a_wrong_one_is_named() -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section(RESULT).splitlines() if line.startswith("| ")]
    names = [row[0] for row in rows[2:6]]
    assert names == ["Tolqyn tally", "Pathway", "Kafka Streams", "Quix Streams"]
    assert [row[1] for row in rows[2:6]] == ["500,000", "250,000", "50,000", "25,000"]
    assert [row[5] for row in rows[2:6]] == ["", "2.0", "10.0", "20.0"]
    assert [row[6] for row in rows[2:6]] == ["yes", "**no**", "yes", "yes"]


def test_a_bar_is_as_long_as_its_figure_on_a_scale_from_zero() -> None:
    picture = ElementTree.fromstring(chart(RESULT))
    bars = [float(bar.attrib["width"]) for bar in picture.iter("{http://www.w3.org/2000/svg}rect")]
    assert [bar / bars[0] for bar in bars] == pytest.approx([1, 0.5, 0.1, 0.05], abs=0.001)
    texts = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert "250,000, counts wrong" in texts
    assert "500,000" in texts


def test_a_target_holds_at_its_limit_and_not_beyond_and_says_when_nothing_was_measured() -> None:
    rate, cpu = TARGETS[0], TARGETS[1]
    assert rate.holds(RESULT | {"tally": {"records_per_second": 400_000}}) is True
    assert rate.holds(RESULT | {"tally": {"records_per_second": 399_999}}) is False
    assert cpu.holds(RESULT | {"tally": {"cpu_us_per_record": 3.5}}) is True
    assert cpu.holds(RESULT | {"tally": {"cpu_us_per_record": 3.51}}) is False
    unmeasured = {target.text for target in TARGETS if target.holds(RESULT) is None}
    assert "files to published figures, records/s" in unmeasured
    assert "tally against Faust, times" in unmeasured
    assert "tally against Pathway, times" not in unmeasured


def test_what_is_read_of_other_measurements_is_what_they_return() -> None:
    sizes = [
        {"indexed": 1_000_000, "records_per_second": 400_000},
        {"indexed": 20_000_000, "records_per_second": 380_000, "memory_mb": 900, "restart_seconds": 4.5},
        {"indexed": 50_000_000, "records_per_second": 300_000},
    ]
    more = {
        "growth": sizes,
        "end_to_end": {"records_per_second": 120_000, "quarter_seconds": None, "edge_cpu_us": 6.0},
        "live": {"correction_seconds": {"p99": 1.5}, "live_seconds": {"p99": 1.75}},
    }
    found = {target.text: target.measured(RESULT | more) for target in TARGETS if target.holds(RESULT | more) is not None}
    assert [found[target.text] for target in TARGETS[-5:]] == [75, 900, 4.5, 1.5, 1.75]
    assert "a whole quarter published, seconds" not in found


def test_parts_that_were_measured_by_themselves_are_named() -> None:
    run = json.loads(LATEST.read_text("utf-8"))
    named = "Measured again by itself after that run: live (2025-07-02)."
    assert named in details(run | {"again": {"live": "2025-07-02"}})
    assert "Measured again" not in details({name: part for name, part in run.items() if name != "again"})


def test_the_pages_and_the_chart_show_what_was_measured_last() -> None:
    result = json.loads(LATEST.read_text("utf-8"))
    assert {path: path.read_text("utf-8") for path in pages(result)} == pages(result)
    page = README.read_text("utf-8")
    shown = page[page.index(BEGIN) : page.index(END)]
    for entrant, one in ranked(result):
        assert re.search(rf"^\| {entrant.title} \| {number(one['records_per_second'])} \|", shown, re.MULTILINE)
