"""The verdict over real faults finds what it is there to find: each piece of evidence is altered in one place."""

import json
from collections import Counter

from tests.chaos.real.truth import Log, Record, Truth, judge
from tests.chaos.real.verdict import (
    ABORTED,
    DUPLICATED,
    LOST,
    STALE,
    UNEXPLAINED,
    Evidence,
    Letter,
    Publication,
    fingerprint,
    pronounce,
)

FEED, NAME = "border-crossings", "border-crossings/0"
AUGUST = 1_754_000_000_000  # 2025-08-01, ms
HEADERS = (("schema", b"border-crossings/1"),)
ARRIVALS = ("Q.ARRIVALS.UZ._T._T._Z", "2025-Q2")
IN_FORCE = ("Q.PERMITS_IN_FORCE._T._T._T._Z", "2025-Q2")


def crossing(number: int, version: int = 1, citizenship: str = "UZ", action: str = "record") -> tuple[bytes, bytes]:
    body = {
        "record_id": f"r{number}", "version": version, "action": action, "occurred_at": "2025-06-30T18:59:59.999Z",
        "direction": "arrival", "citizenship": citizenship, "counterpart": "UZ", "purpose": "tourism",
    }  # fmt: skip
    return f"local/r{number}".encode(), json.dumps(body).encode()


def log_of(*events: tuple[bytes | None, bytes | None]) -> list[Record]:
    return [Record(n, AUGUST + n, key, value, HEADERS) for n, (key, value) in enumerate(events)]


def at(log: Log, offset: int, where: str = "PostgreSQL", number: int = 1) -> Publication:
    cut = {NAME: offset, "work-permits/0": len(log["work-permits/0"])}
    truth = Truth(log)
    truth.advance(cut)
    return Publication(where, number, cut, dict(truth.figures()))


def evidence() -> Evidence:
    """Five crossings (one a correction, one sent twice), one permit, one piece of poison; two publications and the last."""
    poison = (b"local/p", b"{not json")
    permit = json.dumps(
        {"record_id": "w", "version": 1, "action": "record", "citizenship": "CN", "category": "1", "valid_from": "2025-01-01",
         "valid_to": "2025-12-31"}
    ).encode()  # fmt: skip
    events = [crossing(1), crossing(2), poison, crossing(2), crossing(1, 2, "RU"), crossing(3, 1, "KZ")]
    log = {NAME: log_of(*events), "work-permits/0": [Record(0, AUGUST, b"local/w", permit, (("schema", b"work-permits/1"),))]}
    sent = Counter((FEED, r.key or b"", judge(FEED, r)) for r in log[NAME] if r.key != b"local/p")
    sent[("work-permits", b"local/w", judge("work-permits", log["work-permits/0"][0]))] += 1
    return Evidence(
        log=log,
        acknowledged=sent,  # type: ignore[arg-type]
        attempted=set(sent),  # type: ignore[arg-type]
        written={(FEED, fingerprint(*poison))},
        letters=[Letter((NAME, 2), "malformed_json", b"{not json")],
        publications=[at(log, 2), at(log, 4, number=2)],
        order=[(1, {NAME: 2}), (2, {NAME: 4}), (3, {NAME: 6})],
        last=[at(log, 6, number=3), at(log, 6, "indicators.v1", 3)],
    )


def words(evidence: Evidence) -> set[str]:
    return {finding.word for finding in pronounce(evidence).findings}


def changed(publication: Publication, **of: int) -> Publication:
    return publication._replace(figures={**publication.figures, ARRIVALS: of["value"]})


def test_a_run_without_fault_has_no_finding_and_every_record_is_explained() -> None:
    verdict = pronounce(evidence())
    assert verdict.findings == []
    assert verdict.publications == 2
    assert verdict.records == {"acknowledged": 6, "in the log": 7, "counted": 5, "a duplicate": 1, "set aside": 1}


def test_the_truth_is_that_of_the_contract() -> None:
    figures = evidence().last[0].figures
    assert figures[ARRIVALS] == 1
    assert figures["Q.ARRIVALS._T._T._T._Z", "2025-Q2"] == figures["Q.ARRIVALS.CIS.tourism._T._Z", "2025-Q2"] == 2
    assert figures["Q.CITIZENS_IN.UZ._T._T._Z", "2025-Q2"] == 1
    assert figures["Q.BORDER_BALANCE._T._T._T._Z", "2025-Q2"] == 2
    assert figures[IN_FORCE] == figures["Q.PERMITS_IN_FORCE._T._T._T._Z", "2025-Q3"] == 1
    assert ("Q.PERMITS_IN_FORCE._T._T._T._Z", "2025-Q4") not in figures
    assert figures["A.PERMITS_ISSUED.CN._T._T._Z", "2025"] == 1


def test_an_acknowledged_record_that_is_not_in_the_log_is_lost() -> None:
    run = evidence()
    sent = next(iter(run.acknowledged))
    assert words(run._replace(acknowledged=run.acknowledged + Counter([sent]))) == {LOST}


def test_a_record_in_the_log_that_the_last_figures_lack_is_lost() -> None:
    run = evidence()
    figures = {key: value for key, value in run.last[0].figures.items() if key != IN_FORCE}
    assert words(run._replace(last=[run.last[0]._replace(figures=figures)], publications=[])) == {LOST}


def test_a_record_that_counts_twice_is_duplicated() -> None:
    run = evidence()
    assert words(run._replace(last=[changed(run.last[0], value=3)])) == {DUPLICATED}


def test_a_last_figure_that_was_true_before_is_stale() -> None:
    run = evidence()
    assert words(run._replace(last=[changed(run.last[0], value=2)])) == {STALE}


def test_a_topic_that_ends_before_the_log_does_is_stale() -> None:
    run = evidence()
    assert STALE in words(run._replace(last=[run.last[0], at(run.log, 5, "indicators.v1", 2)]))


def test_a_subscriber_that_is_taken_back_reads_something_stale() -> None:
    run = evidence()
    assert words(run._replace(order=[run.order[1], run.order[0]])) == {STALE}


def test_a_publication_that_was_never_true_at_its_cut_is_an_aborted_read() -> None:
    run = evidence()
    assert words(run._replace(publications=[run.publications[0], changed(run.publications[1], value=1)])) == {ABORTED}


def test_a_figure_that_no_record_supports_is_an_aborted_read() -> None:
    run = evidence()
    invented = {**run.publications[0].figures, ("Q.ARRIVALS.FR._T._T._Z", "2025-Q2"): 1}
    assert words(run._replace(publications=[run.publications[0]._replace(figures=invented)])) == {ABORTED}


def test_a_publication_of_a_cut_beyond_the_log_is_an_aborted_read() -> None:
    run = evidence()
    beyond = run.publications[1]._replace(cut={NAME: 99})
    assert words(run._replace(publications=[beyond])) == {ABORTED}


def test_a_record_in_the_log_that_nobody_sent_is_an_aborted_read() -> None:
    run = evidence()
    sent = next(iter(run.acknowledged))
    acknowledged = Counter({one: n for one, n in run.acknowledged.items() if one != sent})
    assert words(run._replace(attempted=run.attempted - {sent}, acknowledged=acknowledged)) == {ABORTED}


def test_a_record_that_cannot_be_counted_and_was_not_set_aside_is_unexplained() -> None:
    assert words(evidence()._replace(letters=[])) == {UNEXPLAINED}


def test_a_letter_about_a_good_record_or_with_another_reason_or_value_is_unexplained() -> None:
    run = evidence()
    letter = run.letters[0]
    for wrong in (Letter((NAME, 0), "malformed_json", b""), letter._replace(reason="no_key"), letter._replace(value=b"{")):
        assert words(run._replace(letters=[letter, wrong])) == {UNEXPLAINED}


def test_a_letter_may_come_twice() -> None:
    run = evidence()
    assert words(run._replace(letters=run.letters * 2)) == set()


def test_figures_that_are_there_and_not_disclosed_are_no_difference() -> None:
    run = evidence()
    hidden = {**run.last[0].figures, IN_FORCE: None}
    assert words(run._replace(last=[run.last[0]._replace(figures=hidden)])) == set()
