"""The verdict over a run, in the words of Jepsen. Pure: evidence goes in, findings come out.

- lost: acknowledged and not in the log, or in the log and not in the figures;
- duplicated: in the log and counted more often than once;
- stale: what is published is an older truth than the log's, or went back to one;
- aborted read: something was published, or stands in the log, that no record supports: it was never true;
- unexplained: a record that is neither counted nor explained (a duplicate, a stale version, a dead letter).
"""

from collections import Counter, defaultdict
from typing import Any, NamedTuple

import xxhash

from tests.chaos.real.truth import Cut, Figures, Key, Log, Read, Truth, covered, judge

LOST, DUPLICATED, STALE, ABORTED, UNEXPLAINED = "lost", "duplicated", "stale", "aborted read", "unexplained"
WORDS = (LOST, DUPLICATED, STALE, ABORTED, UNEXPLAINED)

LETTER_BYTES = 8 << 20  # smaller values must be set aside whole

Sent = tuple[str, bytes, Read]  # feed, key, what it says
Values = dict[Key, float | int | None]  # None: there, and not disclosed


class Finding(NamedTuple):
    """One thing that is wrong."""

    word: str
    what: str


class Publication(NamedTuple):
    """What somebody could read at one time: all figures, and the cut that they are said to be of. `where`: table or topic."""

    where: str
    number: int
    cut: Cut
    figures: Values


class Letter(NamedTuple):
    """A dead letter: the place that the record came from, the reason, the record's value; or that it was left out, as too large."""

    place: tuple[str, int]
    reason: str
    value: bytes
    left_out: bool = False


class Evidence(NamedTuple):
    """All that was seen. `acknowledged`: once for each acknowledgement; `attempted`: whatever may be in the log; `written`: what
    went past the edge, as (feed, fingerprint); `order`: the cuts of what a subscriber adopted, one after the other."""

    log: Log
    acknowledged: "Counter[Sent]"
    attempted: set[Sent]
    written: set[tuple[str, str]]
    letters: list[Letter]
    publications: list[Publication]
    order: list[tuple[int, Cut]]
    last: list[Publication]


class Verdict(NamedTuple):
    """`records`: by what became of them; `publications`: how many were recomputed."""

    findings: list[Finding]
    records: dict[str, int]
    publications: int

    def count(self, word: str) -> int:
        return sum(finding.word == word for finding in self.findings)


def fingerprint(key: bytes | None, value: bytes | None) -> str:
    """Tells a record that was written past the edge from all others."""
    return xxhash.xxh3_128_hexdigest((key or b"none") + b"|" + (value or b"none"))


def impersonal(feed: str, read: Read) -> Read:
    """Without the person, who is another in the log than in what was sent."""
    return read._replace(content=read.content[:-1]) if feed == "migration-violations" else read


def pronounce(evidence: Evidence) -> Verdict:
    """Hold everything against the log."""
    findings = [*_log_against_senders(evidence), *_order(evidence)]
    truth = Truth(evidence.log)
    earlier: dict[Key, set[Any]] = defaultdict(set)
    for publication in sorted(evidence.publications, key=lambda p: sum(p.cut.values())):
        try:
            truth.advance(publication.cut)
        except AssertionError as error:
            findings.append(Finding(ABORTED, f"{_name(publication)} is of no cut of the log: {error}"))
            continue
        figures = truth.figures()
        for key, value in figures.items():
            earlier[key].add(value)
        findings += [Finding(ABORTED, f"{_name(publication)}: {text}") for _, text in _differences(publication.figures, figures)]
    ends = {name: len(records) for name, records in evidence.log.items()}
    truth.advance(ends)
    figures = truth.figures()
    for publication in evidence.last:
        behind = {name: end for name, end in ends.items() if publication.cut.get(name, 0) != end}
        if behind:
            findings.append(Finding(STALE, f"{_name(publication)} is the last and not at the end of {', '.join(sorted(behind))}"))
        findings += [_last(publication, key, text, figures, earlier) for key, text in _differences(publication.figures, figures)]
    findings += _letters(evidence, truth)
    records = {"acknowledged": evidence.acknowledged.total(), "in the log": sum(ends.values()), **truth.effects}
    return Verdict(findings, records, len(evidence.publications))


def _log_against_senders(evidence: Evidence) -> list[Finding]:
    """Everything acknowledged is in the log as often as it was acknowledged; nothing is in it that nobody sent."""
    found: Counter[Sent] = Counter()
    findings = []
    for name, records in evidence.log.items():
        feed = name.partition("/")[0]
        for place, record in enumerate(records):
            assert record.offset == place, f"{name} has a gap at {place}"
            if (feed, fingerprint(record.key, record.value)) in evidence.written:
                continue
            read = judge(feed, record)
            sent = None if isinstance(read, str) or record.key is None else (feed, record.key, impersonal(feed, read))
            if sent is None or sent not in evidence.attempted:
                findings.append(Finding(ABORTED, f"{name}/{place}: nobody sent this record"))
            else:
                found[sent] += 1
    for (feed, key, read), times in (evidence.acknowledged - found).items():
        findings.append(Finding(LOST, f"{feed} {key!r} version {read.version}: acknowledged, {times} not in the log"))
    return findings


def _order(evidence: Evidence) -> list[Finding]:
    """A subscriber never sees an older cut or number after a newer one."""
    findings = []
    for (before, old), (number, cut) in zip(evidence.order, evidence.order[1:], strict=False):
        back = sorted(name for name, offset in old.items() if cut.get(name, 0) < offset)
        if back or number < before:
            findings.append(Finding(STALE, f"publication {number} after {before} goes back in {', '.join(back) or 'its number'}"))
    return findings


def _differences(published: Values, true: Figures) -> list[tuple[Key, str]]:
    found = []
    for key in sorted(true.keys() | {k for k in published if covered(k[0])}):
        said, is_true = published.get(key, 0), true.get(key, 0)
        if said is None and key in true:
            continue  # there, and not disclosed
        if said != is_true:
            found.append((key, f"{key[0]}:{key[1]} says {said}, true is {is_true}"))
    return found


def _last(publication: Publication, key: Key, text: str, true: Figures, earlier: dict[Key, set[Any]]) -> Finding:
    """The word for a last figure that is wrong: an older truth, too little, or too much."""
    said = publication.figures.get(key, 0)
    if said in earlier[key]:
        word = STALE
    elif said is None or said < true.get(key, 0):
        word = LOST
    else:
        word = DUPLICATED if key in true else ABORTED
    return Finding(word, f"{_name(publication)}, the last: {text}")


def _letters(evidence: Evidence, truth: Truth) -> list[Finding]:
    """Exactly what cannot be counted is set aside, whole and with the right reason; a letter may come twice."""
    findings, seen = [], set()
    for letter in evidence.letters:
        seen.add(letter.place)
        name, offset = letter.place
        reason = truth.dead.get(letter.place)
        if reason is None:
            findings.append(Finding(UNEXPLAINED, f"{name}/{offset} was set aside ({letter.reason}) and is fine"))
        elif reason != letter.reason:
            findings.append(Finding(UNEXPLAINED, f"{name}/{offset} was set aside as {letter.reason}, and is {reason}"))
        elif not _whole(letter, evidence.log[name][offset].value or b""):
            findings.append(Finding(UNEXPLAINED, f"{name}/{offset} was not set aside whole"))
    for (name, offset), reason in truth.dead.items():
        if (name, offset) not in seen:
            findings.append(Finding(UNEXPLAINED, f"{name}/{offset} cannot be counted ({reason}) and was not set aside"))
    return findings


def _whole(letter: Letter, value: bytes) -> bool:
    return letter.value == value or (letter.left_out and len(value) > LETTER_BYTES)


def _name(publication: Publication) -> str:
    return f"publication {publication.number} in {publication.where}"
