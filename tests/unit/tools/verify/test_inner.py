"""What verify says of a release's inner cells: against a log by hand, against the product, and of releases that someone altered."""

import random
from pathlib import Path
from typing import Any

import pytest

from schemas.indicators import units
from services.shared.statistics.exchange.observation import Observation
from services.shared.statistics.publication.inner_cells import release_cells
from services.shared.statistics.publication.release import Confidential
from tests.unit.tools.verify.log_of import Log, engine
from tools.verify.compare import Key
from tools.verify.inner import FEEDS, Inner, inner_cells, inner_differences, is_inner
from tools.verify.raw import RawPartition
from tools.verify.recount import Recount

APPENDED = 1_767_300_000_000  # 2026-01-01 20:40 UTC: the last quarter of 2025 is past
Rows = dict[Key, Observation]
FREQUENCIES = {
    "_T": {1: 100, 2: 30, 3: 20}, "CIS": {1: 60, 2: 20, 3: 12}, "EAEU": {1: 20, 2: 9, 3: 6}, "FAR_ABROAD": {1: 38, 2: 9, 3: 7},
}  # fmt: skip


def recounted(log: Log, folder: Path, period: str) -> Inner:
    """What verify finds in a log, with only the feeds that it needs."""
    recount = Recount(folder)
    try:
        for (feed, partition), records in log.records().items():
            if feed in FEEDS:
                raw = RawPartition(feed, folder / f"{feed}-{partition}")
                raw.add(records)
                recount.count(feed, raw.files, raw.log_time)
        return inner_cells(recount, period, APPENDED)
    finally:
        recount.close()


def log_of_2025() -> Log:
    """Permits, students and offences of a year, a few in most cells; a crossing is the newest record."""
    chance, log = random.Random(5), Log()
    for n in range(260):
        citizenship = chance.choice(["CN", "CN", "CN", "TR", "IN", "KG", "RU", "GE", "VN"])
        start = f"2025-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
        ended = chance.choice([None, None, f"2025-{chance.randint(1, 12):02}-15"])
        category = chance.choice(["1", "2", "2", "2", "seasonal"])
        permit: dict[str, Any] = {"valid_from": start, "valid_to": "2026-05-31", "revoked_on": ended, "category": category}
        log.add("work-permits", f"P{n}", citizenship=citizenship, at=APPENDED - 1000, **permit)
        level = chance.choice(["bachelor", "bachelor", "master", "doctoral"])
        log.add("student-enrolments", f"S{n}", citizenship=chance.choice([citizenship, "KZ"]), level=level, ended_on=ended)
        person = f"{chance.randint(1, 150):032x}"
        log.add("migration-violations", f"V{n}", citizenship=chance.choice(["UZ", "KG", "CN"]), person=person, occurred_on=start)
    return log.add("border-crossings", "1", at=APPENDED)


@pytest.mark.parametrize("period", ["2025-Q3", "2025-Q4"])
def test_the_recount_agrees_with_what_the_engine_releases_and_again_after_corrections(tmp_path: Path, period: str) -> None:
    log, hidden_before = log_of_2025(), set[Key]()
    bodies: list[Confidential] = []
    for turn in range(2):
        made = engine(log.records())
        released, body = release_cells(made.entries.values(), period, bodies, units())
        folder = tmp_path / str(turn)
        folder.mkdir()
        compared, found = inner_differences(recounted(log, folder, period), made.observations | released, hidden_before)
        assert (found, compared) == ([], len(released))
        assert sum(one.value is None for one in released.values()) > 10
        assert {key[1] for key in released} == ({period, "2025"} if period == "2025-Q4" else {period})
        bodies.append(body)
        hidden_before |= {key for key, one in released.items() if one.status == "Q"}
        for n in range(0, 100, 3):
            log.add("work-permits", f"P{n}", 2, citizenship="CN", at=APPENDED)
            log.withdraw("student-enrolments", f"S{n}", 2)


def test_cells_of_permits_students_and_groups_are_counted_as_by_hand(tmp_path: Path) -> None:
    log = Log()
    for n, citizenship in enumerate(["CN", "CN", "KG", "RU"]):
        log.add("work-permits", str(n), citizenship=citizenship, valid_from="2025-10-01", valid_to="2026-01-31")
    log.add("work-permits", "spring", valid_from="2025-04-01", valid_to="2025-04-30")
    log.add("student-enrolments", "1").add("student-enrolments", "2", citizenship="KZ")
    for n, citizenship in enumerate(["UZ", "UZ", "CN"]):
        log.add("migration-violations", str(n), citizenship=citizenship, person=f"{n // 2:032x}")
    found = recounted(log, tmp_path, "2025-Q4")
    assert found.counts == {
        ("Q.PERMITS_IN_FORCE.CN._T.2._Z", "2025-Q4"): 2,
        ("Q.PERMITS_IN_FORCE.KG._T.2._Z", "2025-Q4"): 1,
        ("Q.PERMITS_IN_FORCE.RU._T.2._Z", "2025-Q4"): 1,
        ("Q.PERMITS_IN_FORCE.EAEU._T.2._Z", "2025-Q4"): 2,
        ("Q.PERMITS_ISSUED.CN._T.2._Z", "2025-Q4"): 2,
        ("Q.PERMITS_ISSUED.KG._T.2._Z", "2025-Q4"): 1,
        ("Q.PERMITS_ISSUED.RU._T.2._Z", "2025-Q4"): 1,
        ("A.PERMITS_ISSUED.CN._T.2._Z", "2025"): 3,
        ("A.PERMITS_ISSUED.KG._T.2._Z", "2025"): 1,
        ("A.PERMITS_ISSUED.RU._T.2._Z", "2025"): 1,
        ("Q.FOREIGN_STUDENTS.IN._T.bachelor._Z", "2025-Q4"): 1,
    }
    assert found.frequencies == {"_T": {1: 1, 2: 1}, "CIS": {2: 1}, "FAR_ABROAD": {1: 1}}


def test_only_what_lies_within_two_dimensions_is_inner() -> None:
    inner = ["Q.PERMITS_IN_FORCE.CN._T.2._Z", "A.PERMITS_ISSUED.XX._T.seasonal._Z", "A.INFORMAL_WORKERS.CIS._T._T.CHAO"]
    margins = ["Q.PERMITS_IN_FORCE.CN._T._T._Z", "Q.PERMITS_IN_FORCE._T._T.2._Z", "A.INFORMAL_WORKERS._T._T._T.CHAO",
               "Q.ARRIVALS.UZ.employment._T._Z"]  # fmt: skip
    assert [is_inner((series, "2025")) for series in inner + margins] == [True] * len(inner) + [False] * len(margins)


def cell(area: str, category: str) -> Key:
    return f"Q.PERMITS_IN_FORCE.{area}._T.{category}._Z", "2025-Q2"


def row(key: Key, value: float | None, confidentiality: str = "F", status: str = "") -> Observation:
    return Observation(*key, value, None, None, "persons", 0, status or ("Q" if value is None else "P"), confidentiality)


COUNTS = {cell(area, category): n for area, line in {"CN": (40, 15, 9), "TR": (9, 3, 17), "IN": (8, 20, 30)}.items()
          for category, n in zip("123", line, strict=True)}  # fmt: skip
RIGHT = {key: row(key, n) for key, n in COUNTS.items()} | {
    cell("TR", "2"): row(cell("TR", "2"), None, "A"),
    cell("TR", "3"): row(cell("TR", "3"), None, "D"),
    cell("CN", "2"): row(cell("CN", "2"), None, "D"),
    cell("CN", "3"): row(cell("CN", "3"), None, "D"),
}


@pytest.mark.parametrize(
    ("altered", "said"),
    [
        (row(cell("CN", "1"), 41), "recomputed OBS_VALUE=40"),
        (row(cell("CN", "1"), 40, status="A"), ""),
        (row(cell("TR", "2"), 3), "OBS_STATUS=Q CONF_STATUS=A"),
        (row(cell("TR", "2"), None, "D"), "OBS_STATUS=Q CONF_STATUS=A"),
        (row(cell("TR", "3"), None, "A"), "OBS_STATUS=Q CONF_STATUS=D"),
        (row(cell("TR", "2"), 3, "A", status="Q"), "OBS_VALUE=None"),
        (row(cell("IN", "1"), None, "D"), "recomputed OBS_VALUE=8"),  # nothing else is hidden in its row: it protects nothing
        (row(cell("VN", "1"), None, "A"), "recomputed nothing"),
        (row(cell("VN", "1"), 7), "recomputed nothing"),
    ],
)
def test_a_cell_that_is_wrong_told_or_hidden_for_nothing_is_found(altered: Observation, said: str) -> None:
    inner = Inner("2025-Q2", COUNTS, {})
    compared, found = inner_differences(inner, RIGHT | {altered.key: altered})
    assert compared == len(RIGHT) + (altered.key not in RIGHT)
    if not said:
        assert found == []
        return
    texts = {(one.series, one.period): str(one) for one in found}
    assert said in texts[altered.key]
    assert not any("recomputed OBS_VALUE=3" in text for text in texts.values())


def test_a_cell_that_is_left_out_or_no_longer_hidden_is_found() -> None:
    inner = Inner("2025-Q2", COUNTS, {})
    assert inner_differences(inner, RIGHT) == (9, [])
    without = {key: one for key, one in RIGHT.items() if key != cell("IN", "2")}
    assert [one.series for one in inner_differences(inner, without)[1]] == [cell("IN", "2")[0]]
    assert [one.series for one in inner_differences(inner, RIGHT, {cell("CN", "1")})[1]] == [cell("CN", "1")[0]]
    again = RIGHT | {cell("CN", "1"): row(cell("CN", "1"), None, "D")}
    assert inner_differences(inner, again, {cell("CN", "1"), ("Q.PERMITS_IN_FORCE.CN._T.1._Z", "2025-Q1")}) == (9, [])


def groups_released(tables: dict[str, dict[int, int]], bodies: list[Confidential]) -> tuple[Rows, Confidential]:
    entries: list[Any] = [
        {"measure": "violations", "period": "2025", "area": area, "frequencies": {str(t): n for t, n in table.items()}}
        for area, table in tables.items()
    ]
    return release_cells(entries, "2025-Q4", bodies, units())


def statuses(rows: Rows) -> dict[str, str]:
    return {series.split(".")[2]: one.status + one.confidentiality for (series, _), one in rows.items() if series.endswith("CHAO")}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {"CIS": "EF", "EAEU": "EF", "FAR_ABROAD": "QD"}),  # with all three, one person outside all would be told of
        ({"FAR_ABROAD": {1: 30, 2: 4, 3: 7}}, {"CIS": "EF", "EAEU": "EF", "FAR_ABROAD": "QA"}),
        ({"FAR_ABROAD": {1: 30, 2: 5, 3: 7}}, {"CIS": "EF", "EAEU": "EF", "FAR_ABROAD": "QD"}),
        ({"_T": {1: 105, 2: 36, 3: 26}}, {"CIS": "EF", "EAEU": "EF", "FAR_ABROAD": "EF"}),
        ({"EAEU": {1: 3}}, {"CIS": "EF", "EAEU": "QA", "FAR_ABROAD": "QD"}),
        ({"EAEU": {1: 57, 2: 12, 3: 6}}, {"CIS": "QD", "EAEU": "EF", "FAR_ABROAD": "EF"}),
    ],
)
def test_groups_are_shown_as_far_as_they_tell_of_no_handful_of_persons(
    change: dict[str, dict[int, int]], expected: dict[str, str]
) -> None:
    tables = FREQUENCIES | change
    rows, _ = groups_released(tables, [])
    assert statuses(rows) == expected
    assert inner_differences(Inner("2025-Q4", {}, tables), rows) == (9, [])


def test_a_group_that_was_hidden_stays_hidden_for_its_year_even_when_nobody_is_left_in_it() -> None:
    few = FREQUENCIES | {"EAEU": {1: 3}}
    rows, body = groups_released(few, [])
    before = {key for key, one in rows.items() if one.status == "Q"}
    for tables, eaeu in ((FREQUENCIES, "QD"), ({area: t for area, t in FREQUENCIES.items() if area != "EAEU"}, "QA")):
        later, _ = groups_released(tables, [body])
        assert statuses(later)["EAEU"] == eaeu
        assert inner_differences(Inner("2025-Q4", {}, tables), later, before)[1] == []
        fresh, _ = groups_released(tables, [])
        assert inner_differences(Inner("2025-Q4", {}, tables), fresh, before)[1] != []


def test_an_estimate_of_a_group_that_is_told_or_hidden_for_nothing_is_found() -> None:
    rows, _ = groups_released(FREQUENCIES, [])
    inner = Inner("2025-Q4", {}, FREQUENCIES)
    bare = {key: one for key, one in rows.items() if "EAEU" not in key[0]}
    assert {one.series.split(".")[2] for one in inner_differences(inner, bare)[1]} == {"EAEU"}
    key = ("A.INFORMAL_WORKERS.CIS._T._T.CHAO", "2025")
    value = rows[key].value
    assert value is not None
    wrong = rows | {key: rows[key]._replace(value=value + 1)}
    assert [(one.series, one.period) for one in inner_differences(inner, wrong)[1]] == [key]
    told = rows | {k: rows[key]._replace(series=k[0]) for k in rows if "FAR_ABROAD" in k[0]}
    assert {one.series.split(".")[2] for one in inner_differences(inner, told)[1]} >= {"FAR_ABROAD"}
