"""Texts, numbers, dates and country names of the bulletin in one language.

Texts come from texts/*<language>.yaml; numbers, dates and countries from Unicode CLDR through babel. Numbers use a real minus sign;
groups and units are joined by no-break spaces, so that a figure never breaks across lines.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml
from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal

from schemas.sdmx.structures import structures

LANGUAGES = ("ru", "kk", "en")
LANGUAGE_DEFAULT = "ru"
CODES = {"purposes": "CL_PURPOSE", "categories": "CL_CATEGORY"}  # texts that are the names of a code list

MINUS, NO_BREAK_SPACE, EN_DASH = "\u2212", "\u00a0", "\u2013"
ROMAN = ("I", "II", "III", "IV")
ORDINAL = ("first", "second", "third", "fourth")
# Kazakhstan keeps one time, UTC+5, since 2024-03-01, which is before the first publication.
ASTANA = timezone(timedelta(hours=5))

_QUARTER = re.compile(r"([0-9]{4})-Q([1-4])")
_YEAR = re.compile(r"[0-9]{4}")
_ACADEMIC_YEAR = re.compile(r"[0-9]{4}/[0-9]{2}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def parse_period(label: str) -> tuple[int, int]:
    """(year, quarter 1..4) of `2025-Q2`. Raises ValueError for anything else."""
    match = _QUARTER.fullmatch(label)
    if match is None:
        raise ValueError("a bulletin's period is a quarter, written like 2025-Q2")
    return int(match[1]), int(match[2])


def quarters_before(label: str, quarters: int) -> str:
    """The label of the quarter that many quarters before `label`."""
    year, quarter = parse_period(label)
    index = year * 4 + quarter - 1 - quarters
    return f"{index // 4}-Q{index % 4 + 1}"


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Leaves of nested mappings by dotted path."""
    leaves: dict[str, str] = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            leaves |= flatten(value, path + ".")
        else:
            leaves[path] = str(value)
    return leaves


def _sentence_pattern(sentence: str) -> re.Pattern[str]:
    """Matches a sentence with a number at each `{name}`."""
    parts = re.split(r"\{([a-z]+)\}", sentence)
    texts, names = parts[::2], parts[1::2]
    pattern = re.escape(texts[0])
    for name, text in zip(names, texts[1:], strict=True):
        pattern += rf"(?P<{name}>[+-]?\d+(?:\.\d+)?)" + re.escape(text)
    return re.compile(pattern)


def _read(name: str) -> dict[str, Any]:
    """A file of texts."""
    tree: dict[str, Any] = yaml.safe_load((files("services.dissemination") / "texts" / f"{name}.yaml").read_text("utf-8"))
    return tree


class Wording:
    """Everything that the pages say in one language. Unknown keys raise KeyError: a text that is missing is a bug."""

    def __init__(self, language: str) -> None:
        self.language = language
        # British dates for English: the day before the month, as in the two other languages.
        self.locale = Locale.parse("en_GB" if language == "en" else language)
        self._texts: dict[str, str] = {}
        self._sentences: list[tuple[re.Pattern[str], str]] = []
        for name in (language, f"figure.{language}", f"quality.{language}"):
            tree = _read(name)
            self._texts |= flatten(tree)
            self._sentences += [(_sentence_pattern(known), template) for known, template in tree["sentences"].items()]
        for feed, said in _read("feeds").items():
            self._texts |= {f"feeds.{feed}": said["source"][language], f"feed_names.{feed}": said["name"][language]}
            if "late" in said:
                self._sentences.append((_sentence_pattern(said["late"]["en"]), said["late"][language]))
        for name, codelist in CODES.items():
            self._texts |= {f"{name}.{code.id}": code.names[language] for code in structures().codelists[codelist].codes}

    def __call__(self, key: str, **values: object) -> str:
        text = self._texts[key]
        return text.format(**values) if values else text

    def has(self, key: str) -> bool:
        return key in self._texts

    @property
    def known(self) -> set[str]:
        """The dotted paths of all texts."""
        return set(self._texts)

    def number(self, value: float, decimals: int, sign: bool = False) -> str:
        """`4 370 000`, `-0,3` with a real minus; `sign` puts a plus before positive numbers."""
        pattern = "#,##0" + ("." + "0" * decimals if decimals else "")
        text: str = format_decimal(abs(value), format=pattern, locale=self.locale)
        if not text.strip("0.,"):
            return text
        if value < 0:
            return MINUS + text
        return "+" + text if sign else text

    def amount(self, value: float, decimals: int, unit: str, sign: bool = False) -> str:
        """A number with its unit where the unit is part of the figure: per cent and percentage points."""
        suffix = f"units_short.{unit}"
        ending = self._texts[suffix].replace(" ", NO_BREAK_SPACE) if self.has(suffix) else ""
        return self.number(value, decimals, sign) + ending

    def interval(self, lower: float, upper: float, decimals: int) -> str:
        """`31,9-36,2`, with an en dash."""
        return self.number(lower, decimals) + EN_DASH + self.number(upper, decimals)

    def day(self, day: date) -> str:
        text: str = format_date(day, "long", locale=self.locale)
        return text.replace(" ", NO_BREAK_SPACE)

    def day_short(self, day: date) -> str:
        """A date for an axis: day and month in figures and letters, no year."""
        text: str = format_date(day, "d MMM", locale=self.locale)
        return text.rstrip(".")

    def time(self, moment: datetime) -> str:
        """A moment in Astana time, to the second."""
        local = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(ASTANA)
        day = format_date(local, "long", locale=self.locale)
        clock = format_datetime(local, "HH:mm:ss", locale=self.locale)
        return f"{day}, {clock}".replace(" ", NO_BREAK_SPACE) + f" ({self('publication.time_zone')}, UTC+5)"

    def time_short(self, moment: datetime) -> str:
        """A moment in Astana time for a table: `2025-07-01 09:12:45`, which sorts and reads the same in every language."""
        return f"{moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(ASTANA):%Y-%m-%d %H:%M:%S}"

    def period(self, label: str, short: bool = False) -> str:
        """The name of a period: a quarter, a year, an academic year, a day, or a word of the catalogue (`plan`, `newest`)."""
        if _QUARTER.fullmatch(label):
            year, number = parse_period(label)
            values = {"year": year, "number": number, "roman": ROMAN[number - 1], "ordinal": ORDINAL[number - 1]}
            return self("quarter_short" if short else "quarter", **values)
        if _YEAR.fullmatch(label):
            return self("year", year=label)
        if _ACADEMIC_YEAR.fullmatch(label):
            return self("year_academic", year=label)
        if _DAY.fullmatch(label):
            return self.day(date.fromisoformat(label))
        return self(label) if self.has(label) else label

    def area(self, code: str) -> str:
        """The name of a country or a group; the code itself for one that CLDR does not name."""
        if self.has(f"areas.{code}"):
            return self(f"areas.{code}")
        name: str = self.locale.territories.get(code, code)
        return name

    def translated(self, sentence: str) -> tuple[str, bool]:
        """A sentence that an estimate carries in English, in this language; and whether it had to stay English.

        Sentences with figures in them are known as patterns: `{count}` stands for a number, which is written anew.
        """
        for pattern, template in self._sentences:
            match = pattern.fullmatch(sentence)
            if match is not None:
                return template.format(**{name: self._again(text) for name, text in match.groupdict().items()}), False
        return sentence, self.language != "en"

    def _again(self, text: str) -> str:
        """A number in a sentence, with as many decimals as it came with."""
        return self.number(float(text), len(text.partition(".")[2]), sign=text.startswith("+"))

    def source(self, source: str) -> str:
        """The name of a source; sources that the texts do not know are named as they were sent."""
        return self._texts.get(f"sources.{source}", source)


@lru_cache(maxsize=len(LANGUAGES))
def wording(language: str) -> Wording:
    """The wording of one of LANGUAGES, read once. Raises ValueError for another."""
    if language not in LANGUAGES:
        raise ValueError(f"the bulletin is published in {', '.join(LANGUAGES)}")
    return Wording(language)
