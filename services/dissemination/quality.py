"""The quality report of one quarter in one language, worded, ready for a page or a terminal.

Pure. What the words mean: docs/methods/quality.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.values import Completeness, Doubt, FeedQuality, Findings, Mirror, Missing, NoFeedQuality, NoMirror, Revision
from services.dissemination.wording import LANGUAGE_DEFAULT, NO_BREAK_SPACE, Wording, parse_period, wording
from services.shared.statistics.folding.sheet import DELAY_DAYS
from services.shared.statistics.publication.quality import (
    COMPLETENESS_MIN,
    CORRECTED_SHARE_MAX,
    LATE,
    LATE_SHARE_MAX,
    REVISION_MAX,
    WITHDRAWN_SHARE_MAX,
)

if TYPE_CHECKING:
    from services.shared.runtime.postgres.store import Snapshot

GOOD, DOUBT, SILENT = "good", "doubt", "silent"
DECIMALS = 1  # of shares, as those of the indicators
_LIMITS: dict[Doubt, float] = {
    "incomplete": COMPLETENESS_MIN,
    "late": LATE_SHARE_MAX,
    "corrected": CORRECTED_SHARE_MAX,
    "withdrawn": WITHDRAWN_SHARE_MAX,
    "revised": REVISION_MAX,
}


@dataclass(frozen=True)
class FeedLine:
    """One feed. `verdict`: good, doubt or silent; `says`: in one sentence; `measures`: cells in the order of `MEASURES`."""

    name: str
    verdict: str
    verdict_text: str
    says: str
    measures: tuple[str, ...] = ()


@dataclass(frozen=True)
class MirrorLine:
    """A partner's figure beside that of here; `says` if they cannot be compared."""

    partner: str
    figure: str
    period: str
    source: str
    theirs: str
    ours: str = ""
    asymmetry: str = ""
    says: str = ""


@dataclass(frozen=True)
class FindingsPart:
    """What does not fit among some figures: lines of (rule, figure, period, how far off)."""

    heading: str
    lines: tuple[tuple[str, str, str, str], ...]
    more: str


@dataclass(frozen=True)
class QualityReport:
    """All that the report of a quarter says."""

    language: str
    period: str
    title: str
    publication: int
    published_at: str
    banner: str
    feeds: tuple[FeedLine, ...]
    mirrors: tuple[MirrorLine, ...]
    mirrors_absent: str
    findings: tuple[FindingsPart, ...]
    limits: tuple[tuple[str, str, str], ...]
    doubts: tuple[tuple[str, str], ...]


MEASURES = ("records", "completeness", "median", "p95", "late", "corrected", "withdrawn", "conflicts", "revision")


def has_report(snapshot: Snapshot, period: str) -> bool:
    """Whether a report was published for the quarter."""
    return period in snapshot.qualities


def build(snapshot: Snapshot, period: str, language: str = LANGUAGE_DEFAULT) -> QualityReport:
    """The report of a quarter that has one. Raises ValueError for another period or language."""
    parse_period(period)
    words, body = wording(language), snapshot.qualities[period]
    mirrors = [m for m in body["mirrors"] if "figure" in m]
    nobody = next((m for m in body["mirrors"] if "figure" not in m), None)
    limits = [
        (words(f"quality.doubts.{name}"), words(f"quality.because.{name}", limit=_percent(words, limit)))
        for name, limit in _LIMITS.items()
    ]
    return QualityReport(
        language=language,
        period=period,
        title=words("quality.title", period=words.period(period)),
        publication=snapshot.publication,
        published_at=words.time(snapshot.published_at),
        banner=words("quality.simulated") if body["simulated"] else "",
        feeds=tuple(_feed(words, feed, body["simulated"]) for feed in body["feeds"]),
        mirrors=tuple(_mirror(words, m) for m in mirrors),
        mirrors_absent="" if nobody is None else _reason(words, nobody),
        findings=(_findings(words, "published", body["published"]), _findings(words, "computed", body["computed"])),
        limits=tuple(
            (_name(words, feed), words.number(limit.days, 0), words.translated(limit.reason)[0]) for feed, limit in LATE.items()
        ),
        doubts=(*limits, (words("quality.doubts.conflicts"), words("quality.because.conflicts"))),
    )


def _name(words: Wording, feed: str) -> str:
    name = words(f"feed_names.{feed}")
    return name[:1].upper() + name[1:]


def _reason(words: Wording, absent: Missing | NoFeedQuality | NoMirror) -> str:
    return words.translated(absent["reason"])[0]


def _complete(completeness: Completeness | Missing) -> float | None:
    """In percent; None: it is not known."""
    return None if "absent" in completeness else completeness["value"]


def _revised(revision: Revision | Missing) -> float | None:
    """In percent; None: nothing can be said."""
    return None if "absent" in revision else revision["percent"]


def _percent(words: Wording, value: float, sign: bool = False) -> str:
    return words.amount(value, 0 if float(value).is_integer() and not sign else DECIMALS, "percent", sign)


def _feed(words: Wording, feed: FeedQuality | NoFeedQuality, is_sample: bool) -> FeedLine:
    name = _name(words, feed["feed"])
    if "absent" in feed:
        return FeedLine(name, SILENT, words(f"quality.verdicts.{SILENT}"), _reason(words, feed))
    verdict = DOUBT if feed["doubts"] else GOOD
    if feed["doubts"]:
        says = "; ".join(_doubt(words, feed, doubt) for doubt in feed["doubts"])
    elif is_sample:
        says = words("quality.no_doubt_sample")
    else:
        says = words("quality.no_doubt", median=_days(words, feed["median_days"]), p95=_days(words, feed["p95_days"]))
    return FeedLine(name, verdict, words(f"quality.verdicts.{verdict}"), says, _measures(words, feed))


def _doubt(words: Wording, feed: FeedQuality, doubt: Doubt) -> str:
    completeness, revision = feed["completeness"], feed["revision"]
    values: dict[Doubt, dict[str, str]] = {
        "incomplete": {"share": _percent(words, _complete(completeness) or 0.0)},
        "late": {"share": _percent(words, feed["late"]), "days": words.number(feed["late_after_days"], 0)},
        "corrected": {"share": _percent(words, 100 * feed["corrected"] / feed["records"])},
        "withdrawn": {"share": _percent(words, 100 * feed["withdrawn"] / feed["records"])},
        "conflicts": {"number": words.number(feed["conflicts"], 0)},
        "revised": {"share": _percent(words, _revised(revision) or 0.0)},
    }
    return words(f"quality.doubted.{doubt}", **values[doubt])


def _days(words: Wording, days: int) -> str:
    if days >= DELAY_DAYS:
        return words("quality.days_or_more", days=words.number(DELAY_DAYS, 0))
    return words("quality.same_day") if days == 0 else words("quality.days", days=words.number(days, 0))


def _measures(words: Wording, feed: FeedQuality) -> tuple[str, ...]:
    completeness, revision = feed["completeness"], feed["revision"]
    percent = _revised(revision)
    return (
        words.number(feed["records"], 0),
        _percent(words, completeness["value"]) if "value" in completeness else words("missing.mark"),
        _cell(words, feed["median_days"]),
        _cell(words, feed["p95_days"]),
        _percent(words, feed["late"]),
        words.number(feed["corrected"], 0),
        words.number(feed["withdrawn"], 0),
        words.number(feed["conflicts"], 0),
        words("missing.mark") if percent is None else _percent(words, percent),
    )


def _cell(words: Wording, days: int) -> str:
    return words.number(days, 0) + ("+" if days >= DELAY_DAYS else "")


def _mirror(words: Wording, found: Mirror | NoMirror) -> MirrorLine:
    line = MirrorLine(
        partner=words.area(found["partner"]) if found["partner"] else words("missing.mark"),
        figure=words(f"quality.mirrors.{found['figure']}"),
        period=words.period(found["period"]),
        source=words.source(found["source"]),
        theirs=words.number(found["theirs"], 0),
    )
    if "absent" in found:
        return MirrorLine(line.partner, line.figure, line.period, line.source, line.theirs, says=_reason(words, found))
    ours, asymmetry = words.number(found["ours"], 0), _percent(words, found["asymmetry"], sign=True)
    return MirrorLine(line.partner, line.figure, line.period, line.source, line.theirs, ours, asymmetry)


def _findings(words: Wording, name: str, found: Findings) -> FindingsPart:
    lines = tuple(
        (words(f"quality.rules.{f['rule']}"), f["subject"], words.period(f["period"]), _off(words, f["difference"]))
        for f in found["listed"]
    )
    left = found["findings"] - len(lines)
    return FindingsPart(
        heading=words(f"quality.{name}", number=words.number(found["figures"], 0)),
        lines=lines,
        more=words("quality.more", number=words.number(left, 0)) if left else "",
    )


def _off(words: Wording, difference: float) -> str:
    if not difference:
        return words("missing.mark")
    whole = float(difference).is_integer()
    return words.number(difference, 0 if whole else DECIMALS, sign=True).replace(" ", NO_BREAK_SPACE)
