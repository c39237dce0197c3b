"""The page of the release calendar says what the bundled calendar gives."""

import re
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from services.shared.runtime.process.errors import ConfigurationError
from services.shared.runtime.process.release_dates import release_calendar
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.publication.release import KINDS, parse_calendar

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "release-calendar.md").read_text("utf-8")


def test_the_dates_of_the_page_are_those_of_the_bundled_calendar() -> None:
    block = re.search(r"^```releases\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert block is not None
    kinds = {final: kind for kind, final in KINDS.items()}
    lines: dict[str, list[str]] = {}
    for due in release_calendar(Settings()).between(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC)):
        at = f"{due.instant.astimezone(ZoneInfo('Asia/Almaty')):%Y-%m-%d %H:%M}"
        lines.setdefault(at, []).append(f"{due.period} {kinds[due.final]}")
    assert block[1] == "".join(f"{at}  {', '.join(names)}\n" for at, names in lines.items())


def test_the_exception_of_the_page_is_one_that_the_calendar_takes() -> None:
    block = re.search(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert block is not None
    moved = parse_calendar((ROOT / "schemas" / "releases.toml").read_text("utf-8") + block[1])
    assert moved.instant("2026-Q1", False) == moved.instant("2025-Q1", True) == datetime(2026, 5, 18, 4, tzinfo=UTC)


def test_the_fields_of_the_page_have_the_bundled_values() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| `?\"?([\d:]+)\"?`? \|$", PAGE, re.MULTILINE))
    text = (ROOT / "schemas" / "releases.toml").read_text("utf-8")
    assert rows == dict(re.findall(r"^(\w+) = \"?([\d:]+)\"?", text, re.MULTILINE))


def test_a_calendar_of_ones_own_takes_the_place_of_the_bundled_one(tmp_path: Path) -> None:
    path = tmp_path / "dates.toml"
    path.write_text((ROOT / "schemas" / "releases.toml").read_text("utf-8").replace('"09:00"', '"11:30"'), "utf-8")
    ours = release_calendar(Settings.from_env({"TOLQYN_RELEASES": str(path)}))
    assert ours.instant("2025-Q2", False) == datetime(2025, 8, 14, 6, 30, tzinfo=UTC)
    path.write_text("[rule]\nprovisional_days = 0\n", "utf-8")
    with pytest.raises(ConfigurationError, match=r"TOLQYN_RELEASES: .*dates\.toml: rule\.provisional_days: must be"):
        release_calendar(Settings(releases_file=path))
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="it is not UTF-8"):
        release_calendar(Settings(releases_file=path))
    with pytest.raises(ConfigurationError, match=r"TOLQYN_RELEASES: .*nowhere: No such file"):
        release_calendar(Settings(releases_file=tmp_path / "nowhere"))
