"""Which format and language a caller gets: SDMX's media types in `Accept`, languages in `Accept-Language`. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from schemas.sdmx.structures import LANGUAGES
from services.dissemination.sdmx.versions import matches, parse_version
from services.shared.runtime.http.problem import Problem

JSON, CSV, XML = "json", "csv", "xml"
LABELS, KEYS = ("id", "name", "both"), ("none", "obs", "series", "both")
LANGUAGE_DEFAULT = "en"


class Format(NamedTuple):
    """One media type, in one version. `aliases`: generic types that stand for it."""

    kind: str
    media: str
    version: str
    aliases: tuple[str, ...]


DATA = (
    Format(JSON, "application/vnd.sdmx.data+json", "2.0.0", ("application/json",)),
    Format(CSV, "application/vnd.sdmx.data+csv", "2.0.0", ("text/csv", "application/csv")),
    Format(XML, "application/vnd.sdmx.data+xml", "3.0.0", ("application/xml", "text/xml")),
)
STRUCTURE = (
    Format(JSON, "application/vnd.sdmx.structure+json", "2.0.0", ("application/json",)),
    Format(XML, "application/vnd.sdmx.structure+xml", "3.0.0", ("application/xml", "text/xml")),
)


class Choice(NamedTuple):
    """What is answered. `labels` and `keys` are parameters of SDMX-CSV."""

    kind: str
    content_type: str
    labels: str = "id"
    keys: str = "none"


class _Range(NamedTuple):
    media: str
    parameters: dict[str, str]
    quality: float

    @property
    def exactness(self) -> int:
        return 0 if self.media == "*/*" else 1 if self.media.endswith("/*") else 2


def _quality(text: str) -> float:
    """A weight; what is no weight counts as 0: not wanted."""
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0


def _ranges(header: str) -> list[_Range]:
    found = []
    for item in header.split(","):
        media, *parts = (part.strip() for part in item.split(";"))
        pairs = (part.partition("=") for part in parts if part)
        parameters = {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
        quality = _quality(parameters.pop("q", "1"))
        if media:
            found.append(_Range(media.lower(), parameters, quality))
    # The best weight first, then the most exact, then in the order given.
    return sorted(found, key=lambda one: (-one.quality, -one.exactness))


def choose_format(header: str, formats: Sequence[Format]) -> Choice:
    """The best format that is accepted; the first of `formats` where they are equal. Raises Problem 406."""
    best: tuple[float, int, Choice] | None = None
    for offered in formats:
        within = [(asked, choice) for asked in _ranges(header or "*/*") if (choice := _offer(asked, offered)) is not None]
        if not within:
            continue
        # What is said of a format most exactly counts: `application/json;q=0, */*` is anything but that.
        asked, choice = max(within, key=lambda one: one[0].exactness)
        if asked.quality > 0 and (best is None or (asked.quality, asked.exactness) > best[:2]):
            best = asked.quality, asked.exactness, choice
    if best is None:
        raise Problem(406, "Accept: there are " + ", ".join(f"{one.media};version={one.version}" for one in formats))
    return best[2]


def _offer(asked: _Range, offered: Format) -> Choice | None:
    """The format if it is within the range, with the parameters that it asks for; else None."""
    kind = offered.media.partition("/")[0]
    generic = (offered.media, *offered.aliases, "*/*", f"{kind}/*", *(alias.partition("/")[0] + "/*" for alias in offered.aliases))
    version = parse_version(asked.parameters.get("version", "*"))
    if asked.media not in generic or version is None or not matches(version, offered.version):
        return None
    content_type = f"{offered.media};version={offered.version}"
    if offered.kind != CSV:
        return Choice(offered.kind, content_type)
    labels, keys = asked.parameters.get("labels", "id"), asked.parameters.get("keys", "none")
    if labels not in LABELS or keys not in KEYS or asked.parameters.get("timeformat", "original") != "original":
        return None
    content_type += f";labels={labels}" * (labels != "id") + f";keys={keys}" * (keys != "none")
    return Choice(offered.kind, content_type, labels, keys)


def choose_language(header: str) -> str:
    """The language of names: the best of English, Russian and Kazakh; English where none of them is asked for."""
    wanted = [asked.media.partition("-")[0] for asked in _ranges(header) if asked.quality > 0]
    return next(
        (LANGUAGE_DEFAULT if language == "*" else language for language in wanted if language in (*LANGUAGES, "*")),
        LANGUAGE_DEFAULT,
    )
