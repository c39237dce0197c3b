"""The edge on single records: what a refusal says, what a pseudonym is, and which version is given."""

import json
from hashlib import blake2b
from typing import Any

from schemas.feeds import FEEDS
from services.shared.ingest.calendar_rules import latest
from services.shared.ingest.columns import Columns
from services.shared.ingest.edge import Edge
from services.shared.ingest.refusal import RECORD_BYTES_MAX, Code, Refusal
from services.shared.ingest.submission import Receipt, prepare

KEY = b"k" * 32
EDGE = Edge(FEEDS["work-permits"], KEY, "0123abcd")
LATEST = latest(1_750_000_000_000)
PERMIT = {
    "record_id": "p-1",
    "citizenship": "CN",
    "category": "2",
    "region": "KZ-75",
    "sector": "F",
    "valid_from": "2025-02-01",
    "valid_to": "2026-01-31",
    "employer": "980540000123",
}


def check(**fields: Any) -> Any:
    return EDGE.check(json.dumps(PERMIT | fields).encode(), LATEST)


def pseudonym(value: str) -> str:
    return blake2b(value.encode(), key=KEY, digest_size=16).hexdigest()


def test_person_and_employer_become_pseudonyms_with_the_id_of_the_key_last() -> None:
    event = check(person="Ж-1")
    assert (event["employer"], event["person"]) == (pseudonym("980540000123"), pseudonym("Ж-1"))
    assert list(event)[-3:] == ["employer", "person", "pseudonym_key"]
    assert event["pseudonym_key"] == "0123abcd"


def test_a_refusal_names_the_rule_and_not_the_value() -> None:
    refusal = check(citizenship="QQ")
    assert refusal == Refusal(
        Code.INVALID_VALUE, "/citizenship", "not an allowed value: an ISO 3166-1 alpha-2 code in upper case, or XX for unknown"
    )


def test_an_unknown_field_whose_name_repeats_a_person_is_not_named() -> None:
    assert check(**{"person": "N123", "x-N123-x": 1}).pointer == ""
    assert check(**{"person": 4711, "4711": 1}).code is Code.INVALID_TYPE
    assert check(person="N123", nickname=1).pointer == "/nickname"


def test_the_last_of_a_repeated_name_counts() -> None:
    raw = json.dumps(PERMIT).encode()[:-1] + b', "region": "KZ-99", "region": "KZ-71"}'
    event = EDGE.check(raw, LATEST)
    assert not isinstance(event, Refusal)
    assert event["region"] == "KZ-71"


def test_a_record_is_too_large_by_one_byte() -> None:
    raw = json.dumps(PERMIT).encode()
    padded = raw + b" " * (RECORD_BYTES_MAX - len(raw))
    assert not isinstance(EDGE.check(padded, LATEST), Refusal)
    outcome = EDGE.check(padded + b" ", LATEST)
    assert isinstance(outcome, Refusal)
    assert outcome.code is Code.TOO_LARGE


def test_the_day_after_tomorrow_is_too_far_ahead_for_an_event_but_not_for_an_end() -> None:
    assert not isinstance(check(valid_from="2025-06-16"), Refusal)
    assert check(valid_from="2025-06-17").code is Code.FUTURE_TIME
    assert not isinstance(check(revoked_on="2026-01-01"), Refusal)


def test_what_comes_without_a_version_is_written_below_every_version_that_an_agency_can_give() -> None:
    assert list(check())[:3] == ["record_id", "version", "action"]
    assert check()["version"] == 0
    gone = EDGE.check(b'{"action":"withdraw","record_id":"p-1","citizenship":7}', LATEST)
    assert json.dumps(gone) == '{"record_id": "p-1", "version": 0, "action": "withdraw"}'
    assert check(version=0).code is Code.OUT_OF_RANGE
    assert check(version=None).code is Code.INVALID_TYPE


def test_a_record_after_one_that_was_not_acknowledged_is_sent_again_too() -> None:
    raws = [json.dumps(PERMIT | {"record_id": f"p-{i}", "version": 1}).encode() for i in range(4)]
    raws.insert(1, b"{")
    prepared = prepare(Columns(EDGE, left_min=1), "mlsp", raws, 1, LATEST)
    receipt = Receipt.of(prepared, [2])
    assert receipt.accepted == 2
    body = json.loads(receipt.body(all_items=True))
    assert [item["status"] for item in body["items"]] == ["accepted", "rejected", "accepted", "retry", "retry"]
    assert [item["index"] for item in json.loads(receipt.body(all_items=False))["items"]] == [1, 3, 4]
