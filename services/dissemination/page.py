"""Pages as HTML: templates filled with a `Bulletin` or a `FigurePage`, nothing decided here but how it is set."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from services.dissemination import methods
from services.dissemination.charts import draw
from services.dissemination.figure import FigurePage
from services.dissemination.layout import Bulletin, Facts, Table
from services.dissemination.quality import MEASURES, QualityReport
from services.dissemination.wording import LANGUAGE_DEFAULT, LANGUAGES, Wording, wording

STATIC = {"bulletin.css": "text/css", "wave.svg": "image/svg+xml"}


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The templates of this service: escaped, and a name that is not there is an error, never an empty place."""
    loader = PackageLoader("services.dissemination", "templates")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.globals["draw"] = draw
    made.tests["a_table"] = lambda part: isinstance(part, Table)
    made.tests["facts"] = lambda part: isinstance(part, Facts)
    return made


@lru_cache(maxsize=len(STATIC))
def static(name: str) -> bytes:
    """A static file of STATIC. Raises KeyError for another name: no path from outside is ever opened."""
    STATIC[name]
    return (files("services.dissemination") / "static" / name).read_bytes()


@lru_cache(maxsize=1)
def edition() -> str:
    """A short digest of all that shapes the page besides the figures: templates, texts, styles, the catalogue, the method pages."""
    digest = blake2b(digest_size=6)
    package = files("services.dissemination")
    for folder in ("templates", "texts", "static"):
        for entry in sorted((package / folder).iterdir(), key=lambda e: e.name):
            digest.update(entry.name.encode() + entry.read_bytes())
    digest.update((files("schemas") / "indicators.csv").read_bytes())
    for name, text in methods.sources().items():
        digest.update(f"{name}\n{text}".encode())
    return digest.hexdigest()


def _render(template: str, words: Wording, path: str, values: dict[str, Any]) -> str:
    links = [(language, wording(language)("language"), f"{path}?lang={language}") for language in LANGUAGES]
    return (
        environment()
        .get_template(template)
        .render(t=words, language=words.language, languages=links, edition=edition(), default=LANGUAGE_DEFAULT, **values)
    )


def render_bulletin(bulletin: Bulletin, path: str) -> str:
    """The page of a bulletin; `path` is its address without the query."""
    return _render("bulletin.html", wording(bulletin.language), path, {"b": bulletin})


def render_quality(report: QualityReport, path: str) -> str:
    """The page of a quality report; `path` is its address without the query."""
    return _render("quality.html", wording(report.language), path, {"q": report, "measures": MEASURES})


def render_figure(figure: FigurePage, path: str) -> str:
    """The page of one figure; `path` is its address without the query."""
    return _render("figure.html", wording(figure.language), path, {"f": figure})


def render_method(name: str, language: str, path: str) -> str:
    """A page of docs/methods. Raises KeyError for another name."""
    return _render("method.html", wording(language), path, {"m": methods.method_page(name, language)})


def render_methods(language: str, path: str) -> str:
    """The list of the method pages."""
    pages = [methods.method_page(name, language) for name in methods.sources()]
    return _render("methods.html", wording(language), path, {"pages": pages})


def render_message(language: str, path: str, key: str, periods: tuple[str, ...] = (), period: str = "") -> str:
    """A page that says one thing (`pages.<key>` of the texts): nothing published yet, no such page, unavailable."""
    words = wording(language)
    name = words.period(period) if period else ""
    heading = words(f"pages.{key}_heading", period=name) if name else words(f"pages.{key}_heading")
    values = {"heading": heading, "text": words(f"pages.{key}"), "key": key, "periods": periods}
    return _render("message.html", words, path, values)
