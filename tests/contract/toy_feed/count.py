"""Run in the copy: applications go in at the edge, come out as aggregates, and `verify` counts the same."""

import json
import tempfile
from pathlib import Path

import polars as pl

from tests.contract.toy_feed import GOOD, NAME
from tests.unit.chain import Chain
from tools.stack.processes import INGEST, SERVICES
from tools.verify.recount import Recount

SENT = [("AF", "2025-04-02"), ("AF", "2025-06-30"), ("SY", "2025-07-01")]


def main() -> None:
    """AssertionError unless it is so."""
    lines = [
        json.dumps(GOOD | {"record_id": f"mvd:{i}", "citizenship": country, "applied_on": day}).encode()
        for i, (country, day) in enumerate(SENT)
    ]
    chain = Chain()
    chain.send(NAME, lines, at="2025-08-01T12:00:00+05:00")
    chain.snapshot()
    found = {key: entry["value"] for key, entry in chain.entries.items() if key.startswith("asylum_applications|")}
    assert found == {"asylum_applications|2025-Q2|AF": 2, "asylum_applications|2025-Q3|SY": 1}, found
    assert f"reporting|2025-Q2|{NAME}" in chain.entries
    assert INGEST[-1].name == NAME
    assert f"tally-{NAME}" in {service.name for service in SERVICES}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "raw.parquet"
        rows = [{"place": i, "appended": 1754031600000, "key": f"k{i}", "value": line.decode(), "problem": None}
                for i, line in enumerate(lines)]  # fmt: skip
        values = [json.dumps(json.loads(line) | {"action": "record"}) for line in lines]
        pl.DataFrame(rows).with_columns(pl.Series("value", values), pl.col("key").cast(pl.Binary), pl.col("problem").cast(pl.String)
        ).write_parquet(log)  # fmt: skip
        recount = Recount(Path(folder))
        recount.count(NAME, [log], 1754031600000)
        counted = recount.database.execute("SELECT citizenship, sum(n) FROM application GROUP BY ALL ORDER BY 1").fetchall()
        assert counted == [("AF", 2), ("SY", 1)], counted
        recount.close()


main()
