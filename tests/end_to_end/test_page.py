"""The bulletin and the page of a figure in headless Chromium: the real service, on a real PostgreSQL that the real store filled."""

import asyncio
import os
import re
import shutil
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.indicators import catalogue
from services.shared.runtime.postgres.store import Publication, Standing, Store
from services.shared.statistics.exchange.observation import Observation, series_key
from tools.stack.embedded.ports import free_port

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_SECONDS_MAX = 60  # a page takes two seconds; a machine that does much else gets sixty
READY_SECONDS_MAX = 30
PAGE_BYTES_MIN = 20_000  # a blank page of this size compresses to far less

FIGURES = {
    "ARRIVALS": 43700,
    "ARRIVALS_CHANGE_QOQ": 42.0,
    "DEPARTURES": 42000,
    "DEPARTURES_CHANGE_QOQ": 32.0,
    "PERMITS_IN_FORCE": 14820,
    "FOREIGN_STUDENTS": 31500,
    "FOREIGN_STUDENTS_GROWTH_REQUIRED": 41.43,
}


def _observations() -> dict[tuple[str, str], Observation]:
    found = []
    for indicator, value in FIGURES.items():
        known = catalogue()[indicator]
        key = series_key("Q", indicator)
        found.append(Observation(key, "2025-Q2", value, None, None, known.unit, known.decimals, "P"))
    for area, value in {"CIS": 89.0, "UZ": 36.0, "RU": 23.0, "KG": 22.0}.items():
        found.append(Observation(series_key("Q", "ARRIVALS_SHARE", area), "2025-Q2", value, None, None, "percent", 1, "P"))
    share = series_key("Q", "INFORMAL_SHARE", method="SURVEY")
    found.append(Observation(share, "2025-Q2", 34.0, 31.87, 36.19, "percent", 1, "E"))
    return {observation.key: observation for observation in found}


async def _fill(database: str) -> None:
    scale = {"key": "office/scale", "figure": "SIMULATION_SCALE", "period": "2025", "value": 0.01, "unit": "ratio"}
    annex: dict[tuple[str, str], Any] = {
        ("reference", "office/scale"): scale | {"source": "tolqyn simulate", "published_on": "2025-07-01"}
    }
    now = datetime(2025, 7, 1, 4, 12, 45, tzinfo=UTC)
    standing = Standing(0, now, {"border-crossings/0": 75000}, 1751342400000, {}, 1)
    async with Store(database) as store:
        await store.create()
        await store.publish(Publication(_observations(), annex, standing), None, now)


@pytest.fixture(scope="module")
def chromium() -> str:
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if found is None:
        pytest.fail("the page is tested in Chromium, which is not installed: apt-get install chromium")
    return found


@pytest.fixture
def address(database: str, tmp_path: Path) -> Iterator[str]:
    """The address of a dissemination service with one publication."""
    asyncio.run(_fill(database))
    port = free_port()
    environment = os.environ | {"DATABASE_URL": database, "TOLQYN_LISTEN_PORT": str(port), "TOLQYN_HOME": str(tmp_path)}
    log = tmp_path / "service.log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-P", "-m", "services.dissemination"], env=environment, stderr=output)
    try:
        limit = time.monotonic() + READY_SECONDS_MAX
        while not _answers(f"http://127.0.0.1:{port}/health/ready"):
            if process.poll() is not None or time.monotonic() > limit:
                pytest.fail(f"dissemination is not ready\n{log.read_text('utf-8')}")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        assert process.wait(READY_SECONDS_MAX) == 0


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def _browse(chromium: str, folder: Path, *arguments: str) -> str:
    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", *quiet, f"--user-data-dir={folder}", *arguments]
    done = subprocess.run(command, capture_output=True, timeout=CHROMIUM_SECONDS_MAX, check=True)
    return done.stdout.decode("utf-8")


def _size(png: Path) -> tuple[int, int]:
    data = png.read_bytes()
    assert data.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("ru", ["Показатели миграции: II квартал 2025 года", "43 700", "4 370 000", "+42,0 %", "34,0 %", "31,9–36,2", "1:100"]),
        ("kk", ["Көші-қон көрсеткіштері: 2025 жылғы II тоқсан", "43 700", "4 370 000", "+42,0 %", "Өзбекстан", "1:100"]),
        ("en", ["Migration indicators: second quarter of 2025", "43,700", "4,370,000", "+42.0 %", "Uzbekistan", "41.4 %"]),
    ],
)
def test_the_page_shows_its_figures_in_the_browser(
    address: str, chromium: str, tmp_path: Path, language: str, expected: list[str]
) -> None:
    url = f"{address}/bulletin/2025-Q2?lang={language}"
    document = _browse(chromium, tmp_path / "dump", "--dump-dom", url).replace("\u00a0", " ").replace("&nbsp;", " ")
    for text in expected:
        assert text in document, text
    for width in (1200, 412):
        picture = tmp_path / f"{language}-{width}.png"
        _browse(chromium, tmp_path / "shot", "--hide-scrollbars", f"--screenshot={picture}", f"--window-size={width},2400", url)
        assert _size(picture) == (width, 2400)
        assert picture.stat().st_size > PAGE_BYTES_MIN
    own = re.search(r'href="(/figure/Q\.INFORMAL_SHARE\.[^"]+)"', document)
    assert own is not None
    figure = _browse(chromium, tmp_path / "dump", "--dump-dom", address + own[1]).replace("\u00a0", " ").replace("&nbsp;", " ")
    day = "2025-07-01 09:12:45"  # its only vintage, in Astana time
    for text in (expected[0].partition(": ")[2], "31.9–36.2" if language == "en" else "31,9–36,2", "survey-share", day):
        assert text in figure, text
    assert urllib.request.urlopen(f"{address}/methods/survey-share?lang={language}", timeout=5).status == 200
