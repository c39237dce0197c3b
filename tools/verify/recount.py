"""The recount: what stands in the log, and the figures that follow from it, in SQL."""

from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from tools.verify import estimators, open_quarter

MEMORY = "2GB"  # of DuckDB; what does not fit lies in the folder. A partition of 1.3 million records needs a quarter of it
TABLES = {
    "border-crossings": "crossing",
    "work-permits": "permit",
    "student-enrolments": "enrolment",
    "residence-registrations": "residence",
    "labour-emigration": "emigration",
    "visitor-stays": "stay",
    "migration-violations": "offence",
    "reference-figures": "reference",
}
SPANS = ("work-permits", "student-enrolments")  # feeds whose records count from a first day until a last; others on one day
# The flow that a record belongs to, by its cell: of feeds whose delays are counted.
FLOWS = {
    "border-crossings": "CASE WHEN cell.direction = 'arrival' THEN if(cell.citizenship = 'KZ', 'CITIZENS_IN', 'ARRIVALS') "
    "ELSE if(cell.citizenship = 'KZ', 'CITIZENS_OUT', 'DEPARTURES') END",
    "work-permits": "'PERMITS_ISSUED'",
    "residence-registrations": "CASE cell.direction WHEN 'arrival' THEN 'RESIDENCE_ARRIVALS' ELSE 'RESIDENCE_DEPARTURES' END",
    "labour-emigration": "'LABOUR_EMIGRATION'",
    "visitor-stays": "CASE cell.kind WHEN 'guest' THEN 'FOREIGN_GUESTS' ELSE 'MEDICAL_VISITORS' END",
}


class Figure(NamedTuple):
    """One figure as it must be published. The key is (series, period) in the form of contract section 5."""

    value: float
    lower: float | None
    upper: float | None
    unit: str
    decimals: int
    status: str


Figures = dict[tuple[str, str], Figure]


def sql(name: str) -> str:
    """A file of `tools/verify/sql`."""
    return (files("tools.verify") / "sql" / f"{name}.sql").read_text("utf-8")


class Recount:
    """One DuckDB database. Count the partitions of all feeds, in any order; then ask for the figures."""

    def __init__(self, folder: Path) -> None:
        """`folder`: where DuckDB may put what does not fit into memory."""
        # Nothing may be fetched: all that is used is built in.
        config: dict[str, Any] = {
            "memory_limit": MEMORY,
            "temp_directory": str(folder),
            "autoinstall_known_extensions": False,
        }
        self.database = duckdb.connect(":memory:", config=config)
        self.database.execute(sql("rules"))
        self.database.execute(sql("tables"))
        self._log_time = 0

    def close(self) -> None:
        self.database.close()

    def read(self, feed: str, files: list[Path]) -> None:
        """Make the view `judged` of one partition's raw files."""
        names = ", ".join(f"'{path}'" for path in files)
        self.database.execute(f"CREATE OR REPLACE TEMP VIEW raw AS SELECT * FROM read_parquet([{names}])")
        self.database.execute(sql(feed))

    def count(self, feed: str, files: list[Path], log_time: int) -> None:
        """Add one partition. `log_time`: its time by its own records, ms, whatever these are worth."""
        self._log_time = max(self._log_time, log_time)
        if not files:
            return
        self.read(feed, files)
        self.database.execute(sql("standing"))
        days = "first, last" if feed in SPANS else "first"
        self.database.execute(
            f"INSERT INTO {TABLES[feed]} SELECT unnest(cell), {days}, n "
            "FROM (SELECT cell, first, last, count(*) AS n FROM standing GROUP BY ALL)"
        )
        if feed in FLOWS:
            self.database.execute(f"CREATE OR REPLACE TEMP MACRO flow_of(cell) AS {FLOWS[feed]}")
            self.database.execute(sql("reported"), {"feed": feed})

    def local_day(self, instant: int) -> date:
        """The local day of an instant (ms)."""
        when = datetime.fromtimestamp(instant / 1000, UTC).replace(tzinfo=None)
        found = self.database.execute("SELECT local_day($1)", [when]).fetchone()
        assert found is not None
        day: date = found[0]
        return day

    def figures(self) -> Figures:
        """Every figure of the cut."""
        now = self.local_day(self._log_time)  # by the log's own time
        self._spans()
        self.counts(now)
        self.database.execute(sql("derived"))
        units = _units(self.database)
        found: Figures = {}

        def add(row: tuple[Any, ...], value: float, limits: tuple[float | None, float | None], status: str) -> None:
            freq, indicator, area, purpose, category, method, period = row
            key = f"{freq}.{indicator}.{area}.{purpose}.{category}.{method}", period
            assert key not in found, f"{key} was computed twice"
            found[key] = Figure(value, *limits, *units[indicator], status)

        for *names, value in self._rows(
            "SELECT freq, indicator, area, purpose, category, '_Z', period, n FROM counted WHERE n <> 0 "
            "UNION ALL SELECT freq, indicator, area, purpose, '_T', '_Z', period, value FROM derived"
        ):
            add(tuple(names), float(value), (None, None), "P")
        for e in self._estimates(now):
            add((e.freq, e.indicator, "_T", "_T", "_T", e.method, e.period), e.value, (e.lower, e.upper), e.status)
        return found

    def inner(self, period: str, log_time: int) -> list[tuple[str, str, str, str, str, int]]:
        """(freq, indicator, area, category, period, count) of the inner cells of a quarter's release.

        `log_time`: that of the whole cut, ms, if feeds were left out that are not needed for these.
        """
        self._spans()
        self.counts(self.local_day(max(log_time, self._log_time)))
        self._run("inner", period=period)
        return self._rows("SELECT freq, indicator, area, category, period, n FROM inner_cell")

    def frequencies(self) -> list[tuple[int, str, int, int]]:
        """(year, area, times, persons), once counts are made."""
        return self._rows("SELECT year, area, times, persons FROM frequency")

    def _spans(self) -> None:
        self.database.execute(
            "CREATE OR REPLACE TABLE span AS "
            "SELECT 'border-crossings' AS feed, min(day) AS first, max(day) AS last FROM crossing "
            "UNION ALL SELECT 'work-permits', min(first), max(first) FROM permit "
            "UNION ALL SELECT 'student-enrolments', min(first), max(first) FROM enrolment"
        )

    def counts(self, now: date) -> None:
        """Make the table `counted`, from what stands and the table `span`."""
        self._run("counts", now=now)

    def _run(self, name: str, **parameters: object) -> None:
        for statement in duckdb.extract_statements(sql(name)):
            self.database.execute(statement, parameters if statement.named_parameters else None)

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self.database.execute(query).fetchall()
        return rows

    def _estimates(self, now: date) -> list[estimators.Estimate]:
        references = [
            estimators.Reference(*row)
            for row in self._rows("SELECT key, figure, period, value, published_on, sample_size, design_effect FROM reference")
        ]
        residuals = {
            row[0]: estimators.Residual(*map(float, row[1:]))
            for row in self._rows("SELECT number, balance, crossings, permits FROM residual")
        }
        students = dict(
            self._rows(
                "SELECT number, n FROM counted WHERE indicator = 'FOREIGN_STUDENTS' AND area = '_T' AND category = '_T' AND n <> 0"
            )
        )
        frequencies: dict[int, dict[int, int]] = {}
        for year, times, persons in self._rows("SELECT year, times, persons FROM frequency WHERE area = '_T'"):
            frequencies.setdefault(year, {})[times] = persons
        quarter = now.year * 4 + (now.month - 1) // 3
        return [
            *estimators.survey_and_benchmark(references, quarter),
            *estimators.residual(residuals, quarter),
            *estimators.targets(references, students),
            *estimators.from_frequencies(frequencies),
            *(nowcast for cells in self._reported().values() for nowcast in open_quarter.nowcasts(cells, now)),
        ]

    def _reported(self) -> dict[str, open_quarter.Cells]:
        """By feed: how late the records of each flow and day came."""
        found: dict[str, open_quarter.Cells] = {}
        for feed, *cell in self._rows("SELECT feed, flow, day, late, sum(n) FROM reported GROUP BY ALL HAVING sum(n) <> 0"):
            flow, day, late, n = cell
            found.setdefault(feed, []).append((flow, day, late, int(n)))
        return found


def _units(database: duckdb.DuckDBPyConnection) -> dict[str, tuple[str, int]]:
    """(unit, decimals) by indicator, from the published definitions."""
    path = files("schemas") / "indicators.csv"
    rows = database.execute("SELECT indicator, unit, decimals FROM read_csv($1, header = true, all_varchar = true)", [str(path)])
    return {indicator: (unit, int(decimals)) for indicator, unit, decimals in rows.fetchall()}
