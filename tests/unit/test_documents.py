"""The documents hold: links lead somewhere, examples are what the code writes, no dependency lacks a reason, no decision a line."""

import re
import tomllib
from pathlib import Path

import jsonschema
import orjson
import pytest

from services.shared.statistics.exchange.ledger_set import LedgerReader, Mark
from services.shared.statistics.folding.sheet import decode

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(path for top in ("docs", "schemas", "services") for path in (ROOT / top).rglob("*.md"))])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_every_file_that_the_page_names_is_there(page: str) -> None:
    named = re.findall(r"`((?:services|schemas|tools|tests|docs|deploy)/[^`*<{]+)`", (ROOT / page).read_text("utf-8"))
    assert len(named) > 1
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_test_that_the_guarantees_name_is_there() -> None:
    page = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
    named = re.findall(r"`(tests/[\w/.]+)::(\w+)`", page)
    assert len(named) > 1
    missing = [f"{path}::{name}" for path, name in named if f"def {name}(" not in (ROOT / path).read_text("utf-8")]
    assert missing == []


def test_every_limit_that_the_guarantees_name_is_where_they_say() -> None:
    page = (ROOT / "docs" / "guarantees.md").read_text("utf-8").partition("## Limits")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:-1] for line in page.splitlines() if "`services/" in line]
    assert len(rows) > 1
    for _, limits, where in rows:
        paths = re.findall(r"`([\w/.]+)`", where)
        files = [ROOT / path if "/" in path else ROOT / Path(paths[0]).parent / path for path in paths]
        source = "\n".join(path.read_text("utf-8") for path in files)
        missing = [name for name in re.findall(r"`([A-Z_]+)`", limits) if not re.search(rf"^{name} = ", source, re.MULTILINE)]
        assert missing == []


def test_every_promise_names_a_test() -> None:
    page = (ROOT / "docs" / "guarantees.md").read_text("utf-8").partition("## What is not promised")[0]
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| promise |")]
    assert len(rows) > 1
    assert [row for row in rows if "::test_" not in row] == []


def test_a_reader_adopts_the_ledger_that_is_shown_as_an_example() -> None:
    block = re.search(r"^```ledger\n(.*?)^```", (ROOT / "docs" / "ledger.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert block is not None
    *sheets, mark = [line.encode() for line in block[1].splitlines()]
    reader = LedgerReader(Mark.from_bytes(mark).fold)
    for sheet in sheets:
        assert reader.read(decode(sheet).day, sheet, None) is None
        jsonschema.validate(orjson.loads(sheet), orjson.loads((ROOT / "schemas/generated/sheet.schema.json").read_bytes()))
    assert reader.read("mark", mark, b"mark") == {orjson.loads(sheet)["day"]: sheet for sheet in sheets}


def test_every_decision_stands_in_the_index_once_and_every_gap_is_explained() -> None:
    folder = ROOT / "docs" / "decisions"
    pages = sorted(path.name for path in folder.glob("[0-9]*.md"))
    index, _, gaps = (folder / "README.md").read_text("utf-8").rpartition("|\n\n")
    rows = re.findall(r"^\| \[(\d{4})\]\(([^)]+)\) \| \S", index + "|", re.MULTILINE)
    assert [name for _, name in rows] == pages
    assert [number for number, _ in rows] == [name[:4] for name in pages]
    missing = {f"{number:04}" for number in range(1, int(pages[-1][:4]))} - {name[:4] for name in pages}
    assert set(re.findall(r"\b\d{4}\b", gaps)) == missing


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [line.split("#")[0] for line in (ROOT / "requirements.in").read_text("utf-8").splitlines()]
    names = {re.split(r"[>=<\[;\s]", line, maxsplit=1)[0] for line in [*project["dependencies"], *lines] if line.strip()}
    page = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text("utf-8")
    reasons = {name.lower() for name in re.findall(r"^\| `([^`]+)` \| \S", page, re.MULTILINE)}
    assert {name.lower() for name in names} == reasons
