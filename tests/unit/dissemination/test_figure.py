"""The page of one figure: all that a statistician asks of it, at most two clicks from the bulletin."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from schemas.feeds import FEEDS
from schemas.indicators import catalogue
from services.dissemination import methods, page
from services.dissemination.app import Pages, add_routes
from services.dissemination.figure import VINTAGES_SHOWN_MAX, FigurePage, build, is_known, parse_key
from services.dissemination.origins import ESTIMATES, origin
from services.dissemination.sdmx import web as sdmx
from services.dissemination.wording import LANGUAGES, wording
from services.shared.runtime.postgres.changes import Change
from services.shared.runtime.postgres.store import Snapshot
from services.shared.runtime.postgres.vintages import Vintage

PUBLISHED_AT = datetime(2025, 7, 1, 4, 12, 45, tzinfo=UTC)
ARRIVALS = "Q.ARRIVALS._T._T._T._Z:2025-Q2"
HEADINGS = ("definition", "interval", "source", "method", "article", "vintages", "access")


class Page(HTMLParser):
    """What a reader finds on a page: its links, its headings, the text of every section by its id."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.headings: list[int] = []
        self.sections: dict[str, str] = {}
        self.headers_without_scope = 0
        self._section = ""
        self._link = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if self._section and tag != "wbr":  # which shows nothing
            self.sections[self._section] = self.sections.get(self._section, "") + " "
        if tag == "section":
            self._section = given.get("id") or ""
        if tag == "a":
            self._link = given.get("href") or ""
            self.links.append((self._link, ""))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "th" and "scope" not in given:
            self.headers_without_scope += 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "section":
            self._section = ""
        if tag == "a":
            self._link = ""

    def handle_data(self, data: str) -> None:
        if self._section:
            self.sections[self._section] = self.sections.get(self._section, "") + data
        if self._link:
            address, text = self.links[-1]
            self.links[-1] = (address, text + data)


def vintages_of(snapshot: Snapshot, series: str, period: str) -> list[Vintage]:
    published = snapshot.observations.get((series, period))
    if published is None:
        return []
    now = Vintage(41, PUBLISHED_AT, published.value, published.lower, published.upper, published.decimals, published.status)
    return [now, now._replace(publication=7, published_at=PUBLISHED_AT - timedelta(days=1), value=1.0)]


def built(snapshot: Snapshot, text: str, language: str = "en", vintages: list[Vintage] | None = None) -> FigurePage:
    key, period = parse_key(text)
    return build(snapshot, key, period, vintages_of(snapshot, key.series, period) if vintages is None else vintages, language)


@pytest.fixture
async def client(golden: Any) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    snapshot: Snapshot = golden.snapshot()

    async def read() -> Snapshot:
        return snapshot

    async def history(series: str, period: str, publication: int) -> list[Vintage]:
        return vintages_of(snapshot, series, period)

    application = web.Application()
    add_routes(application, Pages(read, history, lambda reason: None))
    async with TestClient(TestServer(application)) as made:
        yield made


@pytest.mark.parametrize("language", LANGUAGES)
async def test_definition_source_assumption_interval_and_vintages_of_every_figure_are_two_clicks_from_the_bulletin(
    client: TestClient[web.Request, web.Application], golden: Any, language: str
) -> None:
    golden_rows = {f"/figure/{series}:{period}" for series, period in golden.observations}
    bulletin = Page(await (await client.get(f"/bulletin/2025-Q2?lang={language}")).text())
    figures = {address.partition("?")[0] for address, _ in bulletin.links if address.startswith("/figure/")}
    unlinked = {
        address for address in golden_rows - figures if not re.search(r"/figure/D\.|:2025-Q1|\.EAEU\.|\.XX\.|\.DE\.", address)
    }
    assert unlinked == set(), "only what the bulletin does not show is not linked from it"
    methods_read: dict[str, Page] = {}
    for address in figures:
        series, period = address.removeprefix("/figure/").split(":")
        words, found = wording(language), Page(await (await client.get(f"{address}?lang={language}")).text())
        indicator, method = series.split(".")[1], series.split(".")[5]
        assert set(HEADINGS) <= set(found.sections), address
        assert catalogue()[indicator].definition in found.sections["definition"]
        for feed in origin(indicator, method).feeds:
            assert f"events.{feed}.v1" in found.sections["source"]
            assert words(f"feeds.{feed}") in found.sections["source"]
        assert any(words(f"ratings.{rating}") in found.sections["method"] for rating in methods.RATINGS), address
        [to_method] = {link for link, text in found.links if link.startswith("/methods/") and text.strip()}
        if to_method not in methods_read:
            methods_read[to_method] = Page(await (await client.get(to_method)).text())
            text = await (await client.get(to_method)).text()
            assert "Assumptions</h2>" in text
            assert "Formula</h2>" in text
        observation = golden.observations.get((series, period))
        if observation is None:  # an estimate that is absent: the reason stands in its place
            continue
        if observation.lower is not None:
            limits = words.interval(observation.lower, observation.upper, observation.decimals)
            assert limits in found.sections["interval"]
            assert "95" in found.sections["interval"]
        for number in ("41", "7"):
            assert number in found.sections["vintages"].split()
    assert len(methods_read) >= 4


@pytest.mark.parametrize(
    "address", ["/bulletin/2025-Q2", f"/figure/{ARRIVALS}", "/methods", "/methods/chao", "/methods/survey-share"]
)
@pytest.mark.parametrize("language", LANGUAGES)
async def test_headings_are_in_order_headers_of_tables_have_a_scope_and_links_have_text(
    client: TestClient[web.Request, web.Application], address: str, language: str
) -> None:
    found = Page(await (await client.get(f"{address}?lang={language}")).text())
    assert found.headings.count(1) == 1
    assert found.headings[0] == 1
    assert all(after <= before + 1 for before, after in zip(found.headings, found.headings[1:], strict=False))
    assert found.headers_without_scope == 0
    assert [link for link, text in found.links if not text.strip()] == []


def test_every_indicator_of_the_catalogue_has_a_name_a_definition_feeds_and_a_method_page() -> None:
    for name in catalogue():
        for method in ("SURVEY", "RESIDUAL", "BENCHMARK", "CHAO") if name.startswith("INFORMAL") else ("_Z",):
            found = origin(name, method)
            assert found.feeds
            assert set(found.feeds) <= set(FEEDS)
            assert methods.method_page(found.page, "en").assumptions
        for language in LANGUAGES:
            words = wording(language)
            assert words.has(f"figure.names.{name}")
            assert words.has(f"definitions.{name}") or words.has(f"figure.definitions.{name}")
    for method in ESTIMATES:
        assert methods.method_page(origin("INFORMAL_WORKERS", method).page, "en").assumptions


def test_an_estimate_of_a_group_shows_the_inputs_of_its_own(golden: Any) -> None:
    golden.put("INFORMAL_WORKERS", 20000, "2024", freq="A", area="CIS", method="CHAO", status="E", limits=(18000, 23000))
    golden.estimates["CHAO|2024|INFORMAL_WORKERS|CIS"] = {"inputs": {"persons_found": 4321}, "assumptions": []}
    found = built(golden.snapshot(), "A.INFORMAL_WORKERS.CIS._T._T.CHAO:2024")
    assert found.inputs == (("Persons found", "4,321"),)
    assert found.name == "Persons working informally, number: CIS countries, Chao's lower bound"
    assert found.definition.startswith("At least how many people")


def test_every_assumption_of_a_page_that_figures_show_is_translated() -> None:
    for name in ("counts", "what-if"):
        for text, _ in methods.method_page(name, "en").assumptions:
            for language in LANGUAGES:
                assert wording(language).translated(text)[1] is False, text


def test_an_estimate_shows_the_assumptions_and_inputs_that_it_was_published_with(golden: Any) -> None:
    golden.estimates["SURVEY|2025-Q2|INFORMAL_SHARE"] = {
        "assumptions": [{"text": "The share found by the newest survey holds until a newer one", "rating": "red"}],
        "inputs": {"survey": golden.references[0], "frequencies": {"1": 8200, "2": 960}},
    }
    found = built(golden.snapshot(), "Q.INFORMAL_SHARE._T._T._T.SURVEY:2025-Q2")
    assert [(a.text, a.rating) for a in found.assumptions.items] == [
        ("The share found by the newest survey holds until a newer one", "red")
    ]
    assert found.inputs == (
        ("Survey", "34\u00a0% (IOM survey of 2024; 2024; n = 1,845)"),
        ("Times found: persons", "1: 8,200; 2: 960"),
    )
    assert (found.row.computed, found.row.interval, found.row.published) == ("34.0\u00a0%", "31.9–36.2", "34\u00a0%")
    assert found.method_page == "survey-share"


def test_a_nowcast_is_defined_as_one_and_stands_beside_no_figure_of_the_article(golden: Any) -> None:
    golden.put("ARRIVALS", 61000, method="NOWCAST", status="E", limits=(58000, 64000))
    found = built(golden.snapshot(), "Q.ARRIVALS._T._T._T.NOWCAST:2025-Q2")
    assert "whole period will come to" in found.definition
    assert (found.row.interval, found.row.published, found.method_page) == ("58,000–64,000", "", "nowcast")
    assert [feed.topic for feed in found.feeds] == ["events.border-crossings.v1"]


def test_an_absent_estimate_has_a_page_with_its_reason_and_the_assumptions_of_its_method(golden: Any) -> None:
    found = built(golden.snapshot(), "Q.INFORMAL_WORKERS._T._T._T.RESIDUAL:2025-Q2", "ru")
    assert "сальдо пересечений" in found.reason
    assert len(found.assumptions.items) == len(methods.method_page("residual", "ru").assumptions)
    assert not any(a.foreign for a in found.assumptions.items)
    assert found.vintages == ()
    assert "Ни одно значение ещё не публиковалось" in page.render_figure(found, "/x")


def test_the_article_stands_beside_its_own_figure_only(golden: Any) -> None:
    assert built(golden.snapshot(), ARRIVALS).row.published == "4,370,000"
    assert built(golden.snapshot(), ARRIVALS.replace("Q2", "Q1")).row.published == ""
    assert built(golden.snapshot(), "A.NET_MIGRATION._T._T._T._Z:2024").row.published == "16,500"


def test_vintages_say_what_changed_and_when_a_figure_was_taken_back(golden: Any) -> None:
    def at(number: int, value: float | None, status: str) -> Vintage:
        return Vintage(number, PUBLISHED_AT + timedelta(minutes=number), value, None, None, 0, status)

    history = [at(9, None, "Q"), at(7, 130, "P"), at(5, None, ""), at(3, 120, "P"), at(2, 100, "P")]
    rows = built(golden.snapshot(), ARRIVALS, vintages=history).vintages
    assert [(r.publication, r.value, r.change, r.status) for r in rows] == [
        (9, "not disclosed", "", "Q"),
        (7, "130", "", "P"),
        (5, "taken back", "", ""),
        (3, "120", "+20", "P"),
        (2, "100", "", "P"),
    ]


def test_a_vintage_names_the_releases_that_hold_it(golden: Any) -> None:
    held = Vintage(9, PUBLISHED_AT, 100, None, None, 0, "A", ("2025-Q2.P1", "2025-Q2.F1"))
    [row] = built(golden.snapshot(), ARRIVALS, vintages=[held]).vintages
    assert row.releases == ("second quarter of 2025: provisional release 1", "second quarter of 2025: final release 1")
    assert row.releases[1] in page.render_figure(built(golden.snapshot(), ARRIVALS, vintages=[held]), "/x")


def test_a_hidden_cell_says_why_and_leads_to_the_rule(golden: Any) -> None:
    golden.put("PERMITS_IN_FORCE", None, area="UZ", category="seasonal", status="Q")
    key = ("Q.PERMITS_IN_FORCE.UZ._T.seasonal._Z", "2025-Q2")
    golden.observations[key] = golden.observations[key]._replace(confidentiality="D")
    found = built(golden.snapshot(), ":".join(key))
    assert (found.row.computed, found.hidden) == ("–", "not disclosed: a small cell would follow from it")
    assert 'href="/methods/disclosure?lang=en"' in page.render_figure(found, "/x")
    assert "/methods/disclosure" not in page.render_figure(built(golden.snapshot(), ARRIVALS), "/x")


def test_a_figure_leads_to_the_quality_report_of_its_quarter(golden: Any) -> None:
    assert "/quality/" not in page.render_figure(built(golden.snapshot(), ARRIVALS), "/x")
    reported = golden.snapshot()._replace(qualities={"2025-Q2": {}})
    assert 'href="/quality/2025-Q2?lang=en"' in page.render_figure(built(reported, ARRIVALS), "/x")


def _quotient(part: float, whole: float) -> float:
    return 100 * part / whole


@pytest.mark.parametrize(
    ("key", "formula"),
    [
        ("Q.ARRIVALS_CHANGE_QOQ._T._T._T._Z:2025-Q2", lambda now, before: 100 * (now / before - 1)),
        ("Q.DEPARTURES_CHANGE_QOQ._T._T._T._Z:2025-Q2", lambda now, before: 100 * (now / before - 1)),
        ("Q.PERMITS_IN_FORCE_CHANGE_YOY._T._T._T._Z:2025-Q2", lambda now, before: 100 * (now / before - 1)),
        ("A.LABOUR_EMIGRATION_CHANGE_YOY._T._T._T._Z:2024", lambda now, before: 100 * (now / before - 1)),
        ("Q.BORDER_BALANCE._T._T._T._Z:2025-Q2", lambda arrivals, departures: arrivals - departures),
        ("Q.FOREIGN_STUDENTS_GAP._T._T._T._Z:2025-Q2", lambda target, students: target - students),
        ("Q.ARRIVALS_SHARE.UZ._T._T._Z:2025-Q2", _quotient),
        ("Q.ARRIVALS_PURPOSE_SHARE._T.private._T._Z:2025-Q2", _quotient),
        ("Q.RESIDENCE_PURPOSE_SHARE._T.education._T._Z:2025-Q2", _quotient),
        ("A.MEDICAL_VISITORS_RATIO_5Y.CN._T._T._Z:2024", lambda now, before: now / before),
        ("Q.ARRIVALS_CONTRIBUTION_QOQ.UZ._T._T._Z:2025-Q2", lambda now, before, total: 100 * (now - before) / total),
    ],
)
def test_a_computed_figure_names_the_figures_from_which_it_can_be_computed_again(
    golden: Any, key: str, formula: Callable[..., float]
) -> None:
    golden.put("ARRIVALS", 15732, area="UZ")
    golden.put("ARRIVALS", 12000, "2025-Q1", area="UZ")
    golden.put("ARRIVALS_CONTRIBUTION_QOQ", 100 * (15732 - 12000) / 30775, area="UZ")
    golden.put("ARRIVALS", 25390, purpose="private")
    golden.put("RESIDENCE_ARRIVALS", 5000)
    golden.put("RESIDENCE_ARRIVALS", 185, purpose="education")
    golden.put("MEDICAL_VISITORS", 48, "2024", area="CN", freq="A")
    golden.put("MEDICAL_VISITORS", 2, "2019", area="CN", freq="A")
    found = built(golden.snapshot(), key)
    assert found.row.value == pytest.approx(formula(*(row.value for row in found.components)), abs=0.05)
    assert all(row.link for row in found.components)


@pytest.mark.parametrize("key", [ARRIVALS, "Q.INFORMAL_SHARE._T._T._T.SURVEY:2025-Q2", "Q.FOREIGN_STUDENTS._T._T._T._Z:2025-Q2"])
def test_what_is_counted_or_estimated_is_computed_from_no_other_figure(golden: Any, key: str) -> None:
    assert built(golden.snapshot(), key).components == ()


def test_a_figure_that_is_no_longer_published_keeps_its_page(golden: Any) -> None:
    key, period = parse_key("Q.ARRIVALS._T._T._T._Z:2019-Q1")
    history = [Vintage(5, PUBLISHED_AT, None, None, None, 0, ""), Vintage(3, PUBLISHED_AT, 12, None, None, 0, "P")]
    assert is_known(golden.snapshot(), key, period, history)
    assert not is_known(golden.snapshot(), key, period, [])
    found = build(golden.snapshot(), key, period, history, "en")
    assert (found.row.computed, found.row.note, found.quarter) == ("–", "no longer published", "")


def test_a_long_history_ends_where_the_page_would_be_too_long_and_says_so(golden: Any) -> None:
    one = Vintage(1, PUBLISHED_AT, 1.0, None, None, 0, "P")
    history = [one._replace(publication=n, value=float(n)) for n in range(VINTAGES_SHOWN_MAX + 1, 0, -1)]
    found = built(golden.snapshot(), ARRIVALS, vintages=history)
    assert len(found.vintages) == VINTAGES_SHOWN_MAX
    assert found.older
    assert {row.change for row in found.vintages} == {"+1"}
    assert not built(golden.snapshot(), ARRIVALS, vintages=history[1:]).older


def test_what_a_simulation_made_says_so_on_its_page(golden: Any) -> None:
    assert "1:100" in built(golden.snapshot(), ARRIVALS).banner
    assert "× 100 = 4,370,000" in page.render_figure(built(golden.snapshot(), ARRIVALS), "/x")


def test_the_line_of_the_export_is_the_one_that_the_page_names(golden: Any) -> None:
    from services.shared.statistics.publication.sdmx_csv import to_csv

    snapshot = golden.snapshot()
    for (series, period), observation in snapshot.observations.items():
        found = built(snapshot, f"{series}:{period}")
        assert [line for line in to_csv(snapshot.observations.values()).splitlines() if found.export in line] == [
            to_csv([observation]).splitlines()[1]
        ]


class Archive:
    """What was published, to SDMX REST: one publication, one version of each figure."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    async def newest(self) -> Snapshot:
        return self._snapshot

    async def at(self, moment: datetime) -> Snapshot | None:
        return self._snapshot

    async def changes(self, keys: Sequence[Any], after: datetime | None, publication: int, count: int) -> list[Change]:
        published = self._snapshot.observations["Q.ARRIVALS._T._T._T._Z", "2025-Q2"]
        return [Change(published.as_of, published.published_at, published, gone=False)]

    async def taken_back(self, keys: Sequence[Any], after: datetime, publication: int) -> list[Any]:
        return []


async def test_the_sdmx_addresses_of_a_page_give_its_figure(golden: Any) -> None:
    archive = Archive(golden.snapshot())
    application = web.Application()
    sdmx.add_routes(application, sdmx.Service(archive.newest, archive))
    html = page.render_figure(built(golden.snapshot(), ARRIVALS), "/x")
    addresses = re.findall(r'href="(/sdmx/[^"]+)"', html)
    assert len(addresses) == 2
    async with TestClient(TestServer(application)) as client:
        for address in addresses:
            answer = await client.get(unescape(address), headers={"Accept": "application/vnd.sdmx.data+csv"})
            [row] = (await answer.text()).splitlines()[1:]
            assert ",Q,ARRIVALS,_T,_T,_T,_Z,2025-Q2,43700," in row


def test_links_between_method_pages_keep_the_language_and_no_link_leads_out() -> None:
    assert 'href="/methods/survey-share?lang=kk"' in methods.method_page("benchmark", "kk").html
    for name in methods.sources():
        assert re.findall(r'href="(?!/methods/)', methods.method_page(name, "ru").html) == []
        assert " style=" not in methods.method_page(name, "ru").html


def test_a_method_page_keeps_to_the_policy_whatever_is_written_in_it() -> None:
    table = "| a | b |\n|---|---:|\n| [in](chao.md) | <script>x</script> |"
    text = f"# A `title`\n\n{table}\n\n[out](https://example.org/) [up](../a.md)\n"
    title, html = methods.rendered(text, "ru")
    assert title == "A title"
    assert '<td class="num">&lt;script&gt;' in html
    assert '<a href="/methods/chao?lang=ru">in</a>' in html
    assert "<p>out up</p>" in html
    assert "style" not in html


def test_the_image_carries_the_method_pages() -> None:
    root = Path(__file__).parents[3]
    assert "COPY docs/methods docs/methods" in (root / "deploy" / "Dockerfile").read_text("utf-8")
    assert "!docs/methods" in (root / "deploy" / "Dockerfile.dockerignore").read_text("utf-8")
    assert root / "docs" / "methods" == methods.FOLDER
