"""What a bulletin is made of: sections of tables and charts, worded in one language."""

from dataclasses import dataclass

from services.dissemination.charts import Bars, Columns, Intervals, Lines
from services.dissemination.figures import Row

Chart = Columns | Bars | Lines | Intervals


@dataclass(frozen=True)
class Table:
    """Rows under a caption. `remark` is what must be known to read it; `stated_by` names the article's source and period when all
    rows share them; a `narrow` table may stand beside a chart."""

    key: str
    caption: str
    rows: tuple[Row, ...]
    source: str
    head: str = ""
    stated_by: str = ""
    extra_head: str = ""
    remark: str = ""
    narrow: bool = False

    @property
    def compared(self) -> bool:
        """Whether any row has a figure of the article beside it."""
        return any(row.published for row in self.rows)


@dataclass(frozen=True)
class Facts:
    """What is to be said about each of several things, as lines of (label, text) under its heading."""

    key: str
    caption: str
    groups: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    source: str


Part = Table | Facts | Chart


@dataclass(frozen=True)
class Assumption:
    """One assumption of an estimate with its rating (green, amber or red), worded. `foreign`: the text is not translated."""

    text: str
    rating: str
    rating_text: str
    foreign: bool


@dataclass(frozen=True)
class Assumptions:
    """The assumptions of one estimate."""

    estimate: str
    items: tuple[Assumption, ...]


@dataclass(frozen=True)
class Section:
    """One subject of the bulletin."""

    key: str
    title: str
    lead: str
    parts: tuple[Part, ...]
    assumptions: tuple[Assumptions, ...] = ()


@dataclass(frozen=True)
class Headline:
    """One figure at the head of the page."""

    key: str
    label: str
    value: str
    unit: str
    lines: tuple[str, ...]
    status: str
    link: str = ""


@dataclass(frozen=True)
class Bulletin:
    """All that the page of a quarter says. `periods` are the quarters that have a bulletin, the newest first;
    `has_quality`: there is a quality report beside it."""

    language: str
    period: str
    period_name: str
    title: str
    publication: int
    release: str
    published_at: str
    cut: str
    banner: str
    has_quality: bool
    headlines: tuple[Headline, ...]
    sections: tuple[Section, ...]
    statuses: tuple[tuple[str, str], ...]
    definitions: tuple[tuple[str, str], ...]
    sources: tuple[str, ...]
    periods: tuple[str, ...]
