"""What is true at a cut: a plain Python fold of the raw log, record by record, and the counts that follow from it.

Written from the contract; shares no code with the engine, nor with `tolqyn verify`. It covers every indicator that is a count, and
the balance; shares, changes and estimates follow from those and are verify's to check.
"""

import json
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

ALMATY = ZoneInfo("Asia/Almaty")
FIRST_DAY = date(2000, 1, 1)
VERSION_MAX = (1 << 53) - 1
UNNUMBERED = 0  # in the log, of what the agency sent without a version
WINDOW_DAYS = 91  # of a rolling quarter
GROUPS = {"CIS": {"AM", "AZ", "BY", "KG", "MD", "RU", "TJ", "TM", "UZ"}, "EAEU": {"AM", "BY", "KG", "RU"}}
NOT_FAR = GROUPS["CIS"] | {"GE", "UA", "XX", "KZ"}
DIRECTIONS, CATEGORIES = ("arrival", "departure"), ("1", "2", "3", "4", "seasonal", "transfer")
PURPOSES = ["unspecified", "employment", "education", "tourism", "private", "business", "medical", "transit", "residence"]
LEVELS = ["preparatory", "bachelor", "master", "doctoral", "residency"]
COVERED = (
    "ARRIVALS", "DEPARTURES", "BORDER_BALANCE", "CITIZENS_IN", "CITIZENS_OUT",
    "PERMITS_IN_FORCE", "PERMITS_ISSUED", "FOREIGN_STUDENTS",
    "RESIDENCE_ARRIVALS", "RESIDENCE_DEPARTURES", "LABOUR_EMIGRATION", "FOREIGN_GUESTS", "MEDICAL_VISITORS",
)  # fmt: skip

Cut = dict[str, int]  # "<feed>/<partition>": everything before this offset is in
Key = tuple[str, str]  # series, period
Figures = dict[Key, int]
Content = tuple[Any, ...]  # all that a figure depends on; () for a withdrawal


class Record(NamedTuple):
    """One record of the log. `appended`: ms."""

    offset: int
    appended: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Read(NamedTuple):
    """A record that can be counted."""

    version: int
    content: Content


Log = dict[str, list[Record]]  # by "<feed>/<partition>"; the record at offset n is the nth


def judge(feed: str, record: Record) -> Read | str:
    """What the record says; or why it must be set aside."""
    return _envelope(feed, record) or _value(feed, record.value or b"")


def _envelope(feed: str, record: Record) -> str:
    schema = dict(reversed(record.headers)).get("schema", b"").decode("utf-8", "replace")
    name, _, major = schema.partition("/")
    if name != feed or not (major.isascii() and major.isdigit() and len(major) < 10) or int(major) < 1:
        return "unknown_schema"
    if int(major) > 1:
        return "newer_schema"
    if not record.value:
        return "no_value"
    return "" if record.key else "no_key"


def _value(feed: str, value: bytes) -> Read | str:
    try:
        body = json.loads(value)
    except ValueError:
        return "malformed_json"
    if not isinstance(body, dict) or b"\n" in value:
        return "malformed_json"
    read = read_body(feed, body)
    return read if read is not None else "invalid_record"


def read_body(feed: str, body: dict[str, Any]) -> Read | None:
    """Version and content of a record, as it was sent or as it stands in the log."""
    version = body.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or not UNNUMBERED <= version <= VERSION_MAX:
        return None
    if body.get("action", "record") == "withdraw":
        return Read(version, ())
    if body.get("action", "record") != "record":
        return None
    try:
        content = CONTENT[feed](body)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return Read(version, content)


def _crossing(body: dict[str, Any]) -> Content:
    day = datetime.fromisoformat(body["occurred_at"]).astimezone(ALMATY).date()
    purpose = body.get("purpose", "unspecified")
    _need(body["direction"] in DIRECTIONS and purpose in PURPOSES and day >= FIRST_DAY)
    return body["direction"], _country(body["citizenship"]), _country(body["counterpart"]), purpose, day


def _permit(body: dict[str, Any]) -> Content:
    first, last = _day(body["valid_from"]), _day(body["valid_to"])
    _need(body["category"] in CATEGORIES and last >= first)
    end = last + timedelta(days=1)
    if body.get("revoked_on") is not None:
        end = min(end, _day(body["revoked_on"]))
    return _country(body["citizenship"]), body["category"], first, max(first, end)


def _enrolment(body: dict[str, Any]) -> Content:
    first = _day(body["enrolled_on"])
    end = date.max if body.get("ended_on") is None else _day(body["ended_on"])
    _need(body["level"] in LEVELS and end > first)
    branch = body["institution"] if body.get("branch_of") is not None else None
    return _country(body["citizenship"]), body["level"], branch, first, end


def _reference(body: dict[str, Any]) -> Content:
    names = ["figure", "period", "value", "unit", "source", "published_on", "sample_size", "design_effect", "counterpart", "note"]
    _need(isinstance(body["value"], int | float) and _day(body["published_on"]) >= FIRST_DAY)
    return tuple(float(body[n]) if n in ("value", "design_effect") and body.get(n) is not None else body.get(n) for n in names)


def _residence(body: dict[str, Any]) -> Content:
    purpose = body.get("purpose", "unspecified")
    _need(body["direction"] in DIRECTIONS and purpose in PURPOSES)
    return body["direction"], _country(body["citizenship"]), _country(body["counterpart"]), purpose, _day(body["occurred_on"])


def _emigration(body: dict[str, Any]) -> Content:
    return _country(body["destination"]), _day(body["departed_on"])


def _stay(body: dict[str, Any]) -> Content:
    _need(body["kind"] in ("guest", "medical"))
    return _country(body["citizenship"]), body["kind"], _day(body["arrived_on"])


def _violation(body: dict[str, Any]) -> Content:
    _need(body["kind"] in ("work_without_permit", "work_without_contract", "overstay", "other"))
    return _country(body["citizenship"]), body["kind"], _day(body["occurred_on"]), str(body["person"])


CONTENT = {
    "border-crossings": _crossing,
    "work-permits": _permit,
    "student-enrolments": _enrolment,
    "residence-registrations": _residence,
    "labour-emigration": _emigration,
    "visitor-stays": _stay,
    "migration-violations": _violation,
    "reference-figures": _reference,
}


def _need(fine: bool) -> None:
    if not fine:
        raise ValueError


def _country(text: str) -> str:
    _need(len(text) == 2 and text.isascii() and text.isupper())
    return text


@lru_cache(maxsize=100_000)
def _day(text: str) -> date:
    _need(len(text) == 10)
    return date.fromisoformat(text)


class Truth:
    """The log up to a cut that moves forward. `dead`: what must be set aside, by place, with the reason."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._at: Cut = {}
        self._best: dict[tuple[str, bytes], Read] = {}
        self._standing: dict[str, Counter[Content]] = defaultdict(Counter)
        self._log_time = 0
        self._stamped: set[str] = set()  # partitions in which the edge has said the time
        self.effects: Counter[str] = Counter()
        self.dead: dict[tuple[str, int], str] = {}

    def advance(self, cut: Cut) -> None:
        """Take in everything before the cut."""
        for name, end in cut.items():
            start = self._at.get(name, 0)
            assert end >= start, "a cut behind the one before needs a fold from the beginning"
            assert end <= len(self._log[name]), f"{name} has no {end} records"
            for record in self._log[name][start:end]:
                self._take(name, record)
            self._at[name] = end

    def _take(self, name: str, record: Record) -> None:
        feed = name.partition("/")[0]
        if self._confirmed(name, record):
            self._log_time = max(self._log_time, record.appended)
        read = judge(feed, record)
        if isinstance(read, str):
            self._set_aside(name, record, read)
            return
        assert record.key is not None
        best = self._best.get((feed, record.key))
        same = best is not None and read.version == best.version
        if best is not None and same and read.content != best.content and read.version != UNNUMBERED:
            self._set_aside(name, record, "version_conflict")
        elif best is not None and (read.version < best.version or (same and read.content == best.content)):
            self.effects["a duplicate" if same else "an older version"] += 1
        else:
            self.effects["counted"] += 1
            self._best[feed, record.key] = read
            if best is not None and best.content:
                self._standing[feed][best.content] -= 1
            if read.content:
                self._standing[feed][read.content] += 1

    def _confirmed(self, name: str, record: Record) -> bool:
        """Whether the edge's clock, too, said the time at which the record was appended, to five minutes."""
        stamp = dict(reversed(record.headers)).get("stamped")
        if stamp is None:
            return name not in self._stamped  # the log is of version 1 until then
        self._stamped.add(name)
        return stamp.isdigit() and abs(int(stamp) - record.appended) <= 5 * 60_000

    def _set_aside(self, name: str, record: Record, reason: str) -> None:
        self.effects["set aside"] += 1
        self.dead[name, record.offset] = reason

    def figures(self) -> Figures:
        """Every covered figure of the cut; none is 0."""
        now = datetime.fromtimestamp(self._log_time / 1000, UTC).astimezone(ALMATY).date()
        found: Counter[Key] = Counter()
        crossings = _standing(self._standing["border-crossings"])
        for content, n in crossings:
            for key, sign in _of_crossing(content):
                found[key] += sign * n
        _rolling(crossings, found)
        for feed, keys in _FLOWS.items():
            for content, n in _standing(self._standing[feed]):
                for key in keys(content):
                    found[key] += n
        permits = [((c, k), first, last, n) for (c, k, first, last), n in _standing(self._standing["work-permits"])]
        for (citizenship, category), first, _, n in permits:
            for freq, period in (("Q", _quarter(first)), ("A", str(first.year))):
                for area, kind in ((citizenship, "_T"), ("_T", category), ("_T", "_T")):
                    found[f"{freq}.PERMITS_ISSUED.{area}._T.{kind}._Z", period] += n
        _stock("PERMITS_IN_FORCE", permits, now, found, eaeu=True)
        students = [((c, k), first, last, n) for (c, k, _, first, last), n in _standing(self._standing["student-enrolments"])]
        _stock("FOREIGN_STUDENTS", students, now, found, eaeu=False)
        # A balance may be 0 and is there nevertheless, wherever there are arrivals or departures.
        return {key: n for key, n in found.items() if n or ".BORDER_BALANCE." in key[0]}


def covered(series: str) -> bool:
    """Whether the truth knows the figures of this series."""
    _, indicator, *_, method = series.split(".")
    return indicator in COVERED and method == "_Z"  # estimates are not counted


def _standing(counts: Counter[Content]) -> list[tuple[Content, int]]:
    return [(content, n) for content, n in counts.items() if n]


def _quarter(day: date) -> str:
    return f"{day.year}-Q{(day.month + 2) // 3}"


def _areas(country: str) -> list[str]:
    groups = [name for name, members in GROUPS.items() if country in members]
    return [country, "_T", *groups, *([] if country in NOT_FAR else ["FAR_ABROAD"])]


@lru_cache(maxsize=200_000)
def _of_crossing(content: Content) -> list[tuple[Key, int]]:
    direction, citizenship, counterpart, purpose, day = content
    periods = (("Q", _quarter(day)), ("A", str(day.year)))
    if citizenship == "KZ":
        name = "CITIZENS_IN" if direction == "arrival" else "CITIZENS_OUT"
        return [((f"{f}.{name}.{area}._T._T._Z", p), 1) for f, p in periods for area in (counterpart, "_T")]
    balance = [((f"{f}.BORDER_BALANCE._T._T._T._Z", p), 1 if direction == "arrival" else -1) for f, p in periods]
    if direction == "departure":
        return balance + [((f"{f}.DEPARTURES.{area}._T._T._Z", p), 1) for f, p in periods for area in _areas(counterpart)]
    return balance + [
        ((f"{f}.ARRIVALS.{area}.{why}._T._Z", p), 1) for f, p in periods for area in _areas(citizenship) for why in ("_T", purpose)
    ]


def _periods(day: date) -> tuple[tuple[str, str], ...]:
    return ("Q", _quarter(day)), ("A", str(day.year))


def _of_residence(content: Content) -> list[Key]:
    direction, citizenship, counterpart, purpose, day = content
    if direction == "departure":
        return [(f"{f}.RESIDENCE_DEPARTURES.{area}._T._T._Z", p) for f, p in _periods(day) for area in (counterpart, "_T")]
    return [
        (f"{f}.RESIDENCE_ARRIVALS.{area}.{why}._T._Z", p)
        for f, p in _periods(day)
        for area in (citizenship, "_T")
        for why in ("_T", purpose)
    ]


def _of_emigration(content: Content) -> list[Key]:
    return [(f"{f}.LABOUR_EMIGRATION.{area}._T._T._Z", p) for f, p in _periods(content[1]) for area in (content[0], "_T")]


def _of_stay(content: Content) -> list[Key]:
    citizenship, kind, day = content
    name = "FOREIGN_GUESTS" if kind == "guest" else "MEDICAL_VISITORS"
    return [(f"{f}.{name}.{area}._T._T._Z", p) for f, p in _periods(day) for area in (citizenship, "_T")]


_FLOWS = {"residence-registrations": _of_residence, "labour-emigration": _of_emigration, "visitor-stays": _of_stay}


def _rolling(crossings: Iterable[tuple[Content, int]], found: Counter[Key]) -> None:
    """The 91 days to each day from the 91st of the data to the newest, of the total and the groups."""
    daily: dict[tuple[str, str], Counter[date]] = defaultdict(Counter)
    first, last = date.max, date.min
    for (direction, citizenship, counterpart, _, day), n in crossings:
        first, last = min(first, day), max(last, day)
        if citizenship != "KZ":
            name, country = ("ARRIVALS", citizenship) if direction == "arrival" else ("DEPARTURES", counterpart)
            for area in _areas(country)[1:]:
                daily[name, area][day] += n
    for (name, area), counts in daily.items():
        window = 0
        for day in _days(first, last):
            window += counts[day] - counts[day - timedelta(days=WINDOW_DAYS)]
            if day >= first + timedelta(days=WINDOW_DAYS - 1) and window:
                found[f"D.{name}.{area}._T._T._Z", day.isoformat()] = window


def _days(first: date, last: date) -> Iterator[date]:
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def _stock(name: str, spans: list[tuple[tuple[str, str], date, date, int]], now: date, found: Counter[Key], eaeu: bool) -> None:
    """What is in force at the end of each quarter from the first event to the open one, whose end is the newest past day."""
    if not spans:
        return
    labels, ends = [], []
    number, newest = _number(min(first for _, first, _, _ in spans)), _number(now)
    while number <= newest:
        year, quarter = divmod(number, 4)
        following = date(year + (quarter + 1) // 4, (quarter + 1) % 4 * 3 + 1, 1)
        labels.append(f"{year}-Q{quarter + 1}")
        ends.append(min(following, now) - timedelta(days=1))
        number += 1
    for (citizenship, kind), first, last, n in spans:
        if name == "FOREIGN_STUDENTS" and citizenship == "KZ":
            continue
        where = [(citizenship, "_T"), ("_T", kind), ("_T", "_T")]
        if eaeu and citizenship in GROUPS["EAEU"]:
            where.append(("EAEU", "_T"))
        for label in labels[bisect_left(ends, first) : bisect_left(ends, last)]:
            for area, category in where:
                found[f"Q.{name}.{area}._T.{category}._Z", label] += n


def _number(day: date) -> int:
    return day.year * 4 + (day.month - 1) // 3
