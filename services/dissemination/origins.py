"""Where a figure comes from: the feeds it is counted from, and the page of docs/methods that says how."""

from dataclasses import dataclass

from services.shared.statistics.exchange.observation import NOT_APPLICABLE


@dataclass(frozen=True)
class Origin:
    """`feeds`: names as in schemas/feeds; `page`: of docs/methods, without `.md`."""

    feeds: tuple[str, ...]
    page: str


COUNTS, WHAT_IF, NOWCAST = "counts", "what-if", "nowcast"
_CROSSINGS, _PERMITS, _STUDENTS, _REFERENCES = "border-crossings", "work-permits", "student-enrolments", "reference-figures"

# By indicator, for what is counted: the first prefix that fits.
_FEEDS = {
    "ARRIVALS": (_CROSSINGS,),
    "DEPARTURES": (_CROSSINGS,),
    "BORDER_BALANCE": (_CROSSINGS,),
    "CITIZENS_": (_CROSSINGS,),
    "RESIDENCE_": ("residence-registrations",),
    "NET_MIGRATION": ("residence-registrations",),
    "LABOUR_EMIGRATION": ("labour-emigration",),
    "PERMITS_": (_PERMITS,),
    "FOREIGN_STUDENTS_TARGET": (_REFERENCES,),
    "FOREIGN_STUDENTS_": (_STUDENTS, _REFERENCES),
    "FOREIGN_STUDENTS": (_STUDENTS,),
    "FOREIGN_BRANCHES": (_STUDENTS,),
    "FOREIGN_GUESTS": ("visitor-stays",),
    "MEDICAL_VISITORS": ("visitor-stays",),
}
# By method, for what is estimated.
ESTIMATES = {
    "SURVEY": Origin((_REFERENCES,), "survey-share"),
    "BENCHMARK": Origin((_REFERENCES,), "benchmark"),
    "RESIDUAL": Origin((_CROSSINGS, _PERMITS), "residual"),
    "CHAO": Origin(("migration-violations",), "chao"),
    "ZELTERMAN": Origin(("migration-violations",), "zelterman"),
    "TRUNCATED_POISSON": Origin(("migration-violations",), "truncated-poisson"),
}


def origin(indicator: str, method: str = NOT_APPLICABLE) -> Origin:
    """Where the figures of an indicator of the catalogue come from. Raises KeyError for an indicator or method without any."""
    if method in ESTIMATES:
        return ESTIMATES[method]
    feeds = next((found for prefix, found in _FEEDS.items() if indicator.startswith(prefix)), None)
    if feeds is None or method not in (NOT_APPLICABLE, "NOWCAST"):
        raise KeyError(f"{indicator} {method}")
    if method == "NOWCAST":
        return Origin(feeds, NOWCAST)
    return Origin(feeds, WHAT_IF if indicator == "FOREIGN_STUDENTS_GROWTH_REQUIRED" else COUNTS)
