"""The inner cells of releases against an attacker who has all that was published (tests/property/inner_attacker.py)."""

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from schemas.indicators import units
from services.shared.statistics.exchange.observation import Observation
from services.shared.statistics.publication.indicators import observations
from services.shared.statistics.publication.inner_cells import release_cells
from services.shared.statistics.publication.release import Confidential
from tests.property.inner_attacker import EAEU, Attacker, Name, Public, narrowed, of_series
from tools.simulate.permits import write_permits
from tools.simulate.students import write_students
from tools.simulate.targets_file import load_targets

UNITS = units()
MEASURES = {
    "permits_in_force": ("PERMITS_IN_FORCE", "category"),
    "permits_issued": ("PERMITS_ISSUED", "category"),
    "students": ("FOREIGN_STUDENTS", "level"),
}
AREAS = ("KG", "RU", "CN", "TR", "XX")
Entries = list[Any]
Counts = dict[Name, int]


def random_entries(random: np.random.Generator, measure: str, period: str) -> Entries:
    """A table of some large, many small and some empty cells; no row or column is left empty."""
    rows, columns = int(random.integers(2, 6)), int(random.integers(2, 5))
    values = (random.geometric(0.12, (rows, columns)) - 1) * (random.random((rows, columns)) < 0.85)
    values[0] += 1
    values[:, 0] += 1
    return [entry(measure, period, AREAS[i], str(j), int(values[i, j])) for i in range(rows) for j in range(columns)]


def entry(measure: str, period: str, area: str, category: str, value: int) -> dict[str, Any]:
    return {"measure": measure, "period": period, "citizenship": area, MEASURES[measure][1]: category, "value": value}


def corrected(random: np.random.Generator, entries: Entries) -> Entries:
    moves = [int(random.integers(-3, 4)) if random.random() < 0.3 else 0 for _ in entries]
    return [one | {"value": max(0, one["value"] + move)} for one, move in zip(entries, moves, strict=True)]


def present(entries: Entries) -> Entries:
    """As the aggregates have them: what is 0 is not there."""
    return [one for one in entries if one["value"]]


def counted(entries: Entries) -> Counts:
    """All inner counts, groups and years too, added up here."""
    counts: Counts = {}
    for one in entries:
        indicator, dimension = MEASURES[one["measure"]]
        areas = [one["citizenship"]]
        if indicator == "PERMITS_IN_FORCE" and one["citizenship"] in EAEU:
            areas.append("EAEU")
        for area in areas:
            for period in [one["period"]] + ([one["period"][:4]] if indicator == "PERMITS_ISSUED" else []):
                name = indicator, period, area, one[dimension]
                counts[name] = counts.get(name, 0) + one["value"]
    return counts


class Office:
    """Releases one after the other, and remembers what the public has of them."""

    def __init__(self) -> None:
        self.bodies: list[Confidential] = []
        self.public: list[Public] = []

    def release(self, entries: Entries, period: str) -> Mapping[tuple[str, str], Observation]:
        inner, body = release_cells(present(entries), period, self.bodies, UNITS)
        margins = observations({str(i): one for i, one in enumerate(present(entries))}, [], UNITS)
        self.bodies.append(json.loads(json.dumps(body)))
        self.public.append(Public(period, inner, margins, counted(entries)))
        return inner

    def said(self) -> Counts:
        """The counts that the newest release shows or hides."""
        last = self.public[-1]
        return {name: n for name, n in last.counts.items() if name[1] in (last.period, last.year)}

    def attacked(self) -> list[str]:
        """The small counts of any release so far that the attacker knows too much of."""
        last = self.public[-1]
        everything = {}
        for name, count in self.said().items():
            series = series_of(name)
            everything[series, name[1]] = Observation(series, name[1], None, None, None, "", 0, "Q", "A" if count < 5 else "D")
        attacker, most = Attacker(self.public), Attacker([*self.public[:-1], last._replace(inner=everything)])
        small = [(v, name) for v, name in attacker.places if 0 < self.public[v].counts.get(name, 0) < 5]
        return narrowed(attacker, most, small)

    def mistakes(self) -> list[str]:
        """What of the newest release is not as the contract has it: values, statuses, what must and what may not be hidden."""
        last, said, found = self.public[-1], self.said(), []
        for key in last.inner.keys() | {(series_of(name), name[1]) for name in said}:
            name = of_series(*key)
            count, one = said.get(name, 0), last.inner.get(key)
            if one is None:
                fine = count == 0
            elif one.status == "Q":
                fine = one.value is one.lower is one.upper is None and one.confidentiality == ("A" if count < 5 else "D")
            else:
                fine = one.value == count >= 5 and (one.status, one.confidentiality) == ("P", "F")
            if not fine:
                found.append(f"{name} of {count}: {one}")
        return found + [f"{key} is a margin" for key in last.inner if key in last.margins]


def series_of(name: Name) -> str:
    indicator, period, area, category = name
    return f"{'Q' if 'Q' in period else 'A'}.{indicator}.{area}._T.{category}._Z"


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("seed", range(67))
def test_no_attacker_narrows_a_small_cell_of_a_random_release(seed: int, measure: str) -> None:
    office = Office()
    office.release(random_entries(np.random.default_rng([seed, len(measure)]), measure, "2025-Q2"), "2025-Q2")
    assert office.mistakes() == []
    assert office.attacked() == []


@pytest.mark.parametrize("seed", range(15))
def test_what_was_hidden_stays_hidden_and_releases_of_one_quarter_together_tell_no_more(seed: int) -> None:
    random = np.random.default_rng(1000 + seed)
    office, entries = Office(), random_entries(random, "permits_in_force", "2025-Q2")
    for _ in range(3 if seed < 3 else 2):
        before = {key for release in office.public for key, one in release.inner.items() if one.status == "Q"}
        inner = office.release(entries, "2025-Q2")
        assert {key for key, one in inner.items() if one.status == "Q"} >= before
        assert office.mistakes() == []
        assert office.attacked() == []
        entries = corrected(random, entries)


@pytest.mark.parametrize("seed", range(4))
def test_the_releases_of_a_year_its_sums_and_a_late_revision_together_tell_no_more(seed: int) -> None:
    random = np.random.default_rng(2000 + seed)
    office, entries = Office(), Entries()
    for period in ("2025-Q1", "2025-Q2", "2025-Q3", "2025-Q4", "2025-Q1"):
        if period not in {one["period"] for one in entries}:
            entries += random_entries(random, "permits_issued", period)
        office.release(entries, period)
        assert office.mistakes() == []
        if len(office.public) >= 4:
            assert office.attacked() == []
        entries = corrected(random, entries)


@pytest.mark.parametrize("seed", range(8))
def test_permits_in_force_and_permits_issued_together_tell_no_more_from_quarter_to_quarter(seed: int) -> None:
    random = np.random.default_rng(3000 + seed)
    before, office = random_entries(random, "permits_in_force", "2025-Q1"), Office()
    entries = list(before)
    for period in ("2025-Q2", "2025-Q3"):
        issued = [one | {"measure": "permits_issued", "period": period, "value": int(random.integers(0, 7))} for one in before]
        open_or_ended = [old["value"] + new["value"] for old, new in zip(before, issued, strict=True)]
        before = [
            old | {"period": period, "value": n - int(random.integers(0, n + 1) * random.random())}
            for old, n in zip(before, open_or_ended, strict=True)
        ]
        entries += issued + before
        office.release(entries, period)
        assert office.mistakes() == []
        assert office.attacked() == []


def bundled(folder: Path) -> Entries:
    """What the bundled simulation sends of permits and students, counted here, for the first two quarters of 2025."""
    targets, entries = load_targets(), Entries()
    write_permits(folder / "permits", targets.permits, Fraction(0), np.random.default_rng(7))
    write_students(folder / "students", targets.students, Fraction(0), np.random.default_rng(7))
    permits, students = (pl.read_ndjson(folder / name, infer_schema_length=None) for name in ("permits", "students"))
    first, ended = pl.col("enrolled_on"), pl.col("ended_on")
    for period, start, end in (("2025-Q1", "2025-01-01", "2025-03-31"), ("2025-Q2", "2025-04-01", "2025-06-30")):
        valid = (pl.col("valid_from") <= end) & (pl.col("valid_to") >= end)
        in_force = permits.filter(valid & (pl.col("revoked_on").is_null() | (pl.col("revoked_on") > end)))
        enrolled = students.filter((pl.col("citizenship") != "KZ") & (first <= end) & (ended.is_null() | (ended > end)))
        for measure, rows in (
            ("permits_in_force", in_force),
            ("permits_issued", permits.filter(pl.col("valid_from").is_between(pl.lit(start), pl.lit(end)))),
            ("students", enrolled),
        ):
            counts = rows.group_by("citizenship", MEASURES[measure][1]).len()
            entries += [entry(measure, period, *row) for row in counts.sort("citizenship").rows()]
    return entries


def test_the_bundled_quarters_tell_of_no_small_cell_and_show_most_of_what_they_have(tmp_path: Path) -> None:
    entries, office = bundled(tmp_path), Office()
    for period in ("2025-Q1", "2025-Q2", "2025-Q2"):
        inner = office.release(entries, period)
        assert office.mistakes() == []
        counts = {name: n for name, n in office.said().items() if name[2] != "EAEU"}
        assert sum(0 < n < 5 for n in counts.values()) > 20
        shown = sum(one.value or 0 for key, one in inner.items() if of_series(*key)[2] != "EAEU")
        assert shown > 0.9 * sum(counts.values())
        # A permit of a small cell is withdrawn, and one is added elsewhere.
        few, many = (
            next(one for one in entries if one["period"] == "2025-Q2" and low < one["value"] < high)
            for low, high in ((1, 5), (9, 99))
        )
        few["value"], many["value"] = few["value"] - 1, many["value"] + 1
    assert office.attacked() == []
