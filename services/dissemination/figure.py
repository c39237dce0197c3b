"""The page of one figure: what it is, what it is worth, where it comes from, and every vintage of it.

Pure, as the bulletin: `build` depends on the snapshot, the vintages, the key, the language and what the distribution carries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from schemas.indicators import catalogue
from schemas.sdmx.structures import AGENCY, FLOW, VERSION
from schemas.values import Assumption, Estimate, Inputs, StatedFigure
from services.dissemination import methods
from services.dissemination.components import components
from services.dissemination.figures import Figures, Key, Row
from services.dissemination.layout import Assumptions
from services.dissemination.origins import origin
from services.dissemination.parts import assumptions, banner, records_of, stated
from services.dissemination.quality import has_report
from services.dissemination.wording import Wording, wording
from services.shared.statistics.estimation.informality import newest
from services.shared.statistics.exchange.observation import DIMENSIONS, FREE, NOT_APPLICABLE, SUPPRESSED, TOTAL
from services.shared.statistics.publication.release import parse_name
from services.shared.statistics.publication.sdmx_csv import STRUCTURE_ID
from services.shared.statistics.terms.calendar import last_quarter_of_period, quarter_label

if TYPE_CHECKING:
    from services.shared.runtime.postgres.store import Snapshot
    from services.shared.runtime.postgres.vintages import Vintage

VINTAGES_SHOWN_MAX = 500  # about 150 kB of page; publication is continuous, so a figure may have thousands
VINTAGES_READ_MAX = VINTAGES_SHOWN_MAX + 1  # one more tells the change of the last, and that there are older ones
DATA = f"/sdmx/v2/data/dataflow/{AGENCY}/{FLOW}/{VERSION}"
PURPOSES, CATEGORIES = "purposes", "categories"  # where the texts name a code
_KEY = re.compile(r"(?P<series>[QAD](?:\.[A-Za-z0-9_]{1,40}){5}):(?P<period>[0-9]{4}(?:-Q[1-4]|-[0-9]{2}-[0-9]{2})?)")


@dataclass(frozen=True)
class Feed:
    """A feed that the figure is counted from: `name` with who sends it, its topic, its log's records in the publication's cut."""

    name: str
    topic: str
    records: str


@dataclass(frozen=True)
class VintageRow:
    """One vintage, worded; `change` is that from the vintage before. Without a status the figure was taken back."""

    publication: int
    time: str
    value: str
    interval: str
    change: str
    status: str
    status_text: str
    releases: tuple[str, ...]


@dataclass(frozen=True)
class FigurePage:
    """All that the page says; empty where there is nothing to say.

    `row` is the figure as tables of the bulletin show it, `quarter` that of the bulletin to go back to, `hidden` why the
    value is not disclosed, `quality` the quarter whose report there is, `older` whether
    there are vintages that are not listed, `export` how the figure's line begins in SDMX-CSV, `sdmx` its
    address.
    """

    language: str
    key: str
    name: str
    period: str
    quarter: str
    banner: str
    row: Row
    unit: str
    dimensions: tuple[tuple[str, str, str], ...]
    definition: str
    formula: str
    components: tuple[Row, ...]
    level: str
    hidden: str
    quality: str
    feeds: tuple[Feed, ...]
    inputs: tuple[tuple[str, str], ...]
    method: str
    method_page: str
    method_title: str
    reason: str
    assumptions: Assumptions
    publication: int
    published_at: str
    as_of: int
    vintages: tuple[VintageRow, ...]
    older: bool
    export: str
    sdmx: str


def parse_key(text: str) -> tuple[Key, str]:
    """(key, period) of `<series>:<period>`. Raises ValueError for what is not the key of a figure of the catalogue."""
    match = _KEY.fullmatch(text)
    if match is None:
        raise ValueError("a figure is named by its series key and period, as on indicators.v1")
    freq, indicator, area, purpose, category, method = match["series"].split(".")
    if indicator not in catalogue():
        raise ValueError(f"the catalogue has no indicator {indicator}")
    try:
        last_quarter_of_period(match["period"])
        origin(indicator, method)
    except (KeyError, ValueError):
        raise ValueError(f"no figure has the key {text}") from None
    return Key(indicator, area, purpose, category, method, freq), match["period"]


def is_known(snapshot: Snapshot, key: Key, period: str, vintages: Sequence[Vintage]) -> bool:
    """Whether there is anything to say: published now or once, or an estimate that is absent with a reason."""
    return bool(vintages) or (key.series, period) in snapshot.observations or _estimate_of(snapshot, key, period) is not None


def _estimate_of(snapshot: Snapshot, key: Key, period: str) -> Estimate | None:
    if key.method == NOT_APPLICABLE or (key.purpose, key.category) != (TOTAL, TOTAL):
        return None
    area = "" if key.area == TOTAL else f"|{key.area}"
    return snapshot.estimates.get(f"{key.method}|{period}|{key.indicator}{area}")


def build(snapshot: Snapshot, key: Key, period: str, vintages: Sequence[Vintage], language: str) -> FigurePage:
    """The page of a figure that is known. `vintages`: the VINTAGES_READ_MAX newest, the newest first."""
    words = wording(language)
    figures = Figures(snapshot, quarter_label(last_quarter_of_period(period)), words)
    indicator, comes_from = catalogue()[key.indicator], origin(key.indicator, key.method)
    estimate = _estimate_of(snapshot, key, period)
    row = figures.row(key, label=name_of(words, key), period=period, missing="gone" if vintages else "not_computed")
    reason = words.translated(estimate["reason"])[0] if estimate is not None and "reason" in estimate else ""
    page = methods.method_page(comes_from.page, language)
    rated = [(a["text"], a["rating"]) for a in _assumptions(estimate)] or page.assumptions
    observation = figures.find(key, period)
    confidentiality = FREE if observation is None else observation.confidentiality
    records = records_of(figures)
    return FigurePage(
        language=language,
        key=f"{key.series}:{period}",
        name=name_of(words, key),
        period=words.period(period) if key.freq != "D" else words("figure.rolling", day=words.period(period)),
        quarter=figures.period if any(p == figures.period for _, p in snapshot.observations) else "",
        banner=banner(figures),
        row=replace(row, note="" if reason else row.note),
        unit=words(f"units.{indicator.unit}"),
        dimensions=_dimensions(words, key, period),
        definition=_definition(words, key),
        formula=indicator.definition,
        components=tuple(_components(figures, key, period)),
        level=_level(words, row, key),
        hidden="" if confidentiality == FREE else words(f"figure.confidentialities.{confidentiality}"),
        quality=figures.period if has_report(snapshot, figures.period) else "",
        feeds=tuple(
            Feed(words(f"feeds.{feed}"), f"events.{feed}.v1", words.number(records.get(feed, 0), 0)) for feed in comes_from.feeds
        ),
        inputs=tuple(_inputs(words, estimate)),
        method=words(f"figure.methods.{key.method}"),
        method_page=page.name,
        method_title=page.title,
        reason=reason,
        assumptions=Assumptions("", assumptions(words, rated)),
        publication=snapshot.publication,
        published_at=words.time(snapshot.published_at),
        as_of=0 if observation is None else observation.as_of,
        vintages=tuple(_vintages(words, vintages, indicator.unit)),
        older=len(vintages) > VINTAGES_SHOWN_MAX,
        sdmx=f"{DATA}/{key.series}?c[TIME_PERIOD]={period}",
        export=",".join(["dataflow", STRUCTURE_ID, "I", *key.series.split("."), period]) + ",",
    )


def name_of(words: Wording, key: Key) -> str:
    """What the figure is called where nothing else is near it: the indicator, then all that it is not a total of."""
    return words(f"figure.names.{key.indicator}") + "".join(
        f"{': ' if i == 0 else ', '}{text}" for i, text in enumerate(_parts(words, key))
    )


def _parts(words: Wording, key: Key) -> list[str]:
    named = []
    if key.area not in (TOTAL, NOT_APPLICABLE):
        named.append(words.area(key.area))
    if key.purpose not in (TOTAL, NOT_APPLICABLE):
        named.append(_code(words, PURPOSES, key.purpose))
    if key.category not in (TOTAL, NOT_APPLICABLE):
        named.append(_code(words, CATEGORIES, key.category))
    if key.method != NOT_APPLICABLE:
        named.append(words(f"figure.methods.{key.method}"))
    return named


def _code(words: Wording, kind: str, code: str) -> str:
    return words(f"{kind}.{code}") if words.has(f"{kind}.{code}") else code


def _dimensions(words: Wording, key: Key, period: str) -> tuple[tuple[str, str, str], ...]:
    """(dimension, its code, what the code means), in SDMX order."""
    total, meanings = words("areas._T"), {}
    meanings["FREQ"] = words(f"figure.freqs.{key.freq}")
    meanings["INDICATOR"] = words(f"figure.names.{key.indicator}")
    meanings["COUNTERPART_AREA"] = total if key.area == TOTAL else words.area(key.area)
    meanings["PURPOSE"] = total if key.purpose == TOTAL else _code(words, PURPOSES, key.purpose)
    meanings["CATEGORY"] = total if key.category == TOTAL else _code(words, CATEGORIES, key.category)
    meanings["METHOD"] = words(f"figure.methods.{key.method}")
    codes = dict(zip(DIMENSIONS, key.series.split("."), strict=True))
    named = tuple((name, codes[name], meanings[name]) for name in DIMENSIONS)
    return (*named, ("TIME_PERIOD", period, words.period(period)))


def _definition(words: Wording, key: Key) -> str:
    """What the figure is; of an estimate by its method, if the texts say that."""
    paths = (
        f"figure.definitions.{key.indicator}_{key.method}",
        f"definitions.{key.indicator}",
        f"figure.definitions.{key.indicator}",
    )
    text = next(words(path) for path in paths if words.has(path))
    return f"{text} {words('figure.nowcast')}" if key.method == "NOWCAST" else text


def _components(figures: Figures, key: Key, period: str) -> Iterator[Row]:
    """What the figure was computed from, as far as it is published: each named with its period, and with its address."""
    target = newest(figures.snapshot.references, "FOREIGN_STUDENTS_TARGET")
    for of, at in components(key, period, target):
        if figures.find(of, at) is not None:
            yield figures.row(of, label=f"{name_of(figures.words, of)}, {figures.words.period(at)}", period=at)


def _level(words: Wording, row: Row, key: Key) -> str:
    """What is to be said about the interval, or why there is none."""
    if row.interval:
        return words("figure.interval_95")
    if key.method != NOT_APPLICABLE:
        return words("figure.interval_absent")
    return words("figure.interval_stated" if key.indicator == "FOREIGN_STUDENTS_TARGET" else "figure.interval_count")


def _assumptions(estimate: Estimate | None) -> list[Assumption]:
    return [] if estimate is None or "absent" in estimate else estimate["assumptions"]


def _inputs(words: Wording, estimate: Estimate | None) -> Iterator[tuple[str, str]]:
    """(what, how much) of all that the estimating service worked from."""
    inputs: Inputs = {} if estimate is None else estimate.get("inputs", {})
    for name, value in inputs.items():
        label = words(f"figure.inputs_names.{name}") if words.has(f"figure.inputs_names.{name}") else name
        if isinstance(value, dict) and "figure" in value:
            yield label, stated(words, cast(StatedFigure, value))
        elif isinstance(value, dict):
            yield label, "; ".join(f"{times}: {words.number(count, 0)}" for times, count in value.items())
        elif isinstance(value, int | float):
            yield label, words.number(value, 0 if float(value).is_integer() else 2)
        else:
            yield label, str(value)


def _vintages(words: Wording, vintages: Sequence[Vintage], unit: str) -> Iterator[VintageRow]:
    shown = vintages[:VINTAGES_SHOWN_MAX]
    for vintage, before in zip(shown, [*vintages[1 : len(shown) + 1], None], strict=False):
        value, change = words("missing.mark"), ""
        if vintage.value is not None:
            value = words.amount(vintage.value, vintage.decimals, unit)
            if before is not None and before.value is not None:
                change = words.number(vintage.value - before.value, vintage.decimals, sign=True)
        elif vintage.status == SUPPRESSED:
            value = words("missing.suppressed")
        limits = vintage.lower is not None and vintage.upper is not None
        yield VintageRow(
            publication=vintage.publication,
            time=words.time_short(vintage.published_at),
            value=value if vintage.status else words("figure.taken_back"),
            interval=words.interval(vintage.lower or 0, vintage.upper or 0, vintage.decimals) if limits else "",
            change=change,
            status=vintage.status,
            status_text=words(f"statuses.{vintage.status}") if vintage.status else "",
            releases=tuple(_release(words, name) for name in vintage.releases),
        )


def _release(words: Wording, name: str) -> str:
    named = parse_name(name)
    kind = "final" if named.final else "provisional"
    return words(f"figure.release_{kind}", period=words.period(named.period), number=named.number)
