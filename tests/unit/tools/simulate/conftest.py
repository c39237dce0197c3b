"""One simulation for all tests, and an oracle for it: plain Python that shares no code with the generator or the services."""

import io
import json
import random
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from schemas.feeds import FEEDS
from tools.simulate.generate import simulate
from tools.simulate.targets_file import load_targets

Record = dict[str, Any]


def counted(lines: Iterable[str]) -> dict[str, Record]:
    """What counts by the contract: of each record the highest version, unless that one withdraws it."""
    newest: dict[str, Record] = {}
    for line in lines:
        record = json.loads(line)
        held = newest.get(record["record_id"])
        if held is None or record["version"] > held["version"]:
            newest[record["record_id"]] = record
        elif record["version"] == held["version"]:
            assert record == held, "one version with two contents would make the result depend on the order"
    return {key: record for key, record in newest.items() if record.get("action") != "withdraw"}


@pytest.fixture(scope="session")
def oracle() -> Callable[[Iterable[str]], dict[str, Record]]:
    return counted


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled targets at the usual scale, seed and irregularity."""
    out = tmp_path_factory.mktemp("simulated")
    simulate(out, load_targets(), Fraction(1, 100), 7, Fraction(5, 100), io.StringIO())
    return out


@pytest.fixture(scope="session")
def lines(simulated: Path) -> dict[str, list[str]]:
    return {feed: (simulated / f"{feed}.ndjson").read_text(encoding="utf-8").splitlines() for feed in FEEDS}


@pytest.fixture(scope="session")
def records(lines: dict[str, list[str]]) -> dict[str, list[Record]]:
    """The records that count, found with the files' lines in another order than theirs."""
    found = {}
    for feed in FEEDS:
        shuffled = random.Random(1).sample(lines[feed], len(lines[feed]))
        found[feed] = list(counted(shuffled).values())
    return found
