"""Ingest by file: taken once and whole, or refused with the reason; against a log and a disk that do what the test wants."""

import asyncio
import errno
import fcntl
import gzip
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from services.shared.ingest import files, inbox, outbox, take
from services.shared.ingest.inbox_folder import Folder
from services.shared.ingest.manifest import FILE_SUFFIXES
from services.shared.runtime.process import metrics
from services.shared.runtime.process.whole_file import write_whole
from tests.unit.ingest.depot import FEED, Depot, figure, ndjson

BAD = figure("bad-1", value="a lot", source="somebody's secret")
GOOD = [figure(f"f-{i}", version=1) for i in range(7)]
BODY = ndjson(*GOOD[:3], BAD, *GOOD[3:])
RECORDS = 8


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(inbox, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(take, "WAIT_SECONDS_MIN", 0.001)
    monkeypatch.setattr(take, "DISK_SECONDS", 0.001)
    monkeypatch.setattr(files, "RECORDS_MAX", 3)


@pytest.fixture
def depot(tmp_path: Path) -> Depot:
    return Depot(tmp_path)


def counts(receipt: dict[str, Any]) -> tuple[int, int, int, int]:
    return receipt["received"], receipt["accepted"], receipt["rejected"], receipt["retry"]


def table(*records: dict[str, Any]) -> bytes:
    columns = list(records[0])
    return "\r\n".join([",".join(columns), *(",".join(str(r[c]) for c in columns) for r in records)]).encode()


async def test_a_file_is_taken_whole_in_its_order_and_its_receipt_sums_what_became_of_its_records(depot: Depot) -> None:
    depot.drop("june", BODY, RECORDS)
    await depot.inbox().look()
    receipt = depot.answer("june")
    assert list(receipt) == ["submission", "file", "sha256", "received", "accepted", "rejected", "retry", "items"]
    assert (receipt["file"], receipt["sha256"]) == ("june.ndjson", hashlib.sha256(BODY).hexdigest())
    assert counts(receipt) == (8, 7, 1, 0)
    [item] = receipt["items"]
    assert {k: item[k] for k in ("index", "status", "code", "pointer")} == {
        "index": 3,
        "status": "rejected",
        "code": "invalid_type",
        "pointer": "/value",
    }
    assert depot.rejects("june") == [{"index": 3, "code": "invalid_type", "pointer": "/value"}]
    for partition in (0, 1):
        assert [e["record_id"] for p, _, e in depot.log.stored if p == partition] == sorted(
            e["record_id"] for p, _, e in depot.log.stored if p == partition
        )
    assert sorted(depot.log.ids()) == [record["record_id"] for record in GOOD]
    assert {key for _, key, _ in depot.log.stored} == {f"iom/{record['record_id']}".encode() for record in GOOD}
    assert depot.answered() == ["june.receipt.json", "june.rejects.ndjson"]
    assert depot.hidden() == []
    assert "secret" not in "".join(path.read_text() for path in depot.home.glob("outbox/*/*/*"))
    assert [(note["agency"], note["feed"], note["received"], note["codes"]) for note in depot.log.notes] == [
        ("iom", FEED, 8, {"invalid_type": 1})
    ]


@pytest.mark.parametrize("suffix", FILE_SUFFIXES)
async def test_every_format_and_packing_gives_the_same_events(depot: Depot, suffix: str) -> None:
    body = table(*GOOD) if ".csv" in suffix else ndjson(*GOOD)
    pack: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstandard.compress}
    packed = pack[suffix[-4:] if suffix.endswith(".zst") else suffix[-3:]](body) if suffix.endswith((".gz", ".zst")) else body
    depot.drop("f", packed, 7, suffix)
    await depot.inbox().look()
    assert counts(depot.answer("f")) == (7, 7, 0, 0)
    assert sorted((e["record_id"], e["version"], e["value"]) for _, _, e in depot.log.stored) == [
        (r["record_id"], 1, 34) for r in GOOD
    ]
    assert max(depot.log.sizes) <= 3, "no more at once than a submission may hold"


async def test_nothing_is_touched_before_its_manifest_is_there(depot: Depot) -> None:
    service = depot.inbox()
    (depot.folder() / "f.ndjson").write_bytes(BODY)
    (depot.folder() / ".f.manifest.json.part").write_bytes(b"{")
    await service.look()
    assert depot.log.stored == []
    assert depot.answered() == []
    depot.drop("f", BODY, RECORDS)
    await service.look()
    assert counts(depot.answer("f")) == (8, 7, 1, 0)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"sha256": "0" * 64}, f"the file's sha256 is {hashlib.sha256(BODY).hexdigest()}, not the manifest's"),
        ({"sha256": "abc"}, "sha256 must be 64 hexadecimal digits"),
        ({"sha256": None}, "sha256 must be 64 hexadecimal digits"),
        ({"records": 7}, "the file has 8 records, the manifest says 7"),
        ({"records": 9}, "the file has 8 records, the manifest says 9"),
        ({"records": "8"}, "records must be a whole number"),
        ({"records": True}, "records must be a whole number"),
        ({"records": -1}, "records must be a whole number"),
        ({"file": "../border-crossings/f.ndjson"}, "file must be a file beside it"),
        ({"file": "/etc/passwd"}, "file must be a file beside it"),
        ({"file": "other.ndjson"}, "file must be a file beside it"),
        ({"file": "f.json"}, "file must be a file beside it"),
        ({"file": None}, "file must be a file beside it"),
        ({"file": "f.csv"}, "the file is not there"),
    ],
)
async def test_a_manifest_that_does_not_fit_refuses_the_file_whole_with_the_reason(
    depot: Depot, said: dict[str, Any], reason: str
) -> None:
    depot.drop("f", BODY, RECORDS, said=said)
    await depot.inbox().look()
    receipt = depot.answer("f")
    assert reason in receipt["refused"]
    assert counts(receipt) == (0, 0, 0, 0)
    assert receipt["items"] == []
    assert depot.log.stored == []
    assert depot.answered() == ["f.receipt.json"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 60_000, b'{"x":"' + b"x" * 70_000 + b'"}'])
async def test_a_manifest_that_is_none_is_refused(depot: Depot, body: bytes) -> None:
    depot.drop("f", BODY, RECORDS)
    (depot.folder() / "f.manifest.json").write_bytes(body)
    await depot.inbox().look()
    assert "manifest" in depot.answer("f")["refused"]
    assert depot.log.stored == []


def _link(path: Path, aside: Path) -> None:
    path.rename(aside)
    path.symlink_to(aside)


def _folder(path: Path, _: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path, _: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("which", ["f.ndjson", "f.manifest.json"])
@pytest.mark.parametrize(
    ("trick", "reason"), [(_link, "is a symbolic link"), (_folder, "is not a plain file"), (_pipe, "is not a plain file")]
)
async def test_what_is_no_plain_file_is_refused(depot: Depot, which: str, trick: Callable[[Path, Path], None], reason: str) -> None:
    depot.drop("f", BODY, RECORDS)
    trick(depot.folder() / which, depot.home / "aside")
    await depot.inbox().look()
    assert reason in depot.answer("f")["refused"]
    assert depot.log.stored == []


@pytest.mark.parametrize(
    ("suffix", "body", "reason"),
    [
        (".ndjson.gz", BODY, "not what its name says"),
        (".ndjson.gz", gzip.compress(BODY)[:-9], "damaged"),
        (".ndjson.gz", gzip.compress(BODY)[:12] + b"\0\1\2\3" * 9, "damaged"),
        (".ndjson.zst", BODY, "not what its name says"),
        (".ndjson.zst", zstandard.compress(BODY)[:-3], "cut off"),
        (".csv", b"a,b\n1,2\n", "header"),
    ],
    ids=["plain as gzip", "gzip without its end", "gzip with other bytes in it", "plain as zstd", "zstd cut off", "other header"],
)
async def test_a_file_that_is_not_what_its_name_says_is_refused(depot: Depot, suffix: str, body: bytes, reason: str) -> None:
    depot.drop("f", body, RECORDS, suffix)
    await depot.inbox().look()
    assert reason in depot.answer("f")["refused"]
    assert str(depot.home) not in depot.answer("f")["refused"]
    assert depot.log.stored == []


async def test_an_agency_or_feed_that_nobody_knows_is_refused(depot: Depot) -> None:
    depot.drop("f", BODY, RECORDS, agency="IOM")
    depot.drop("f", BODY, RECORDS)
    depot.folder().rename(depot.folder().parent / "figures")
    await depot.inbox().look()
    assert "an agency is named by" in depot.answer("f", agency="IOM")["refused"]
    assert "no feed of this name" in depot.answer("f", feed="figures")["refused"]
    assert depot.log.stored == []


async def test_a_folder_that_is_a_link_to_another_agency_s_is_not_entered(depot: Depot) -> None:
    depot.drop("f", BODY, RECORDS)
    (depot.home / "inbox" / "thief").mkdir()
    (depot.home / "inbox" / "thief" / FEED).symlink_to(depot.folder())
    failures = metrics.INBOX_FAILURES.labels(FEED)
    before = failures._value.get()
    await depot.inbox().look()
    assert {key.split(b"/")[0] for _, key, _ in depot.log.stored} == {b"iom"}
    assert failures._value.get() > before


async def test_a_name_that_leaves_no_room_for_an_answer_s_own_is_refused(depot: Depot) -> None:
    name = "n" * 241
    (depot.folder() / f"{name}.manifest.json").write_bytes(b"{}")
    await depot.inbox().look()
    assert "at most 200 bytes" in depot.answer(name)["refused"]


async def test_what_was_refused_is_looked_at_again_only_when_it_changes_and_then_taken(depot: Depot) -> None:
    depot.drop("f", BODY[:-5], RECORDS, said={"sha256": hashlib.sha256(BODY).hexdigest()})
    await depot.inbox().look()
    refusal = depot.answer("f")
    for service in (depot.inbox(), depot.inbox()):
        await service.look()
        await service.look()
    assert depot.answer("f") == refusal
    depot.drop("f", BODY, RECORDS)
    await depot.inbox().look()
    assert counts(depot.answer("f")) == (8, 7, 1, 0)
    assert "refused" not in depot.answer("f")


async def test_what_may_still_be_on_its_way_is_not_refused_at_once(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "SETTLE_SECONDS", 1000.0)
    service = depot.inbox()
    depot.drop("f", BODY, RECORDS)
    manifest = depot.folder() / "f.manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:20])
    await service.look()
    assert depot.answered() == []
    manifest.write_bytes(whole)
    await service.look()
    assert counts(depot.answer("f")) == (8, 7, 1, 0)


async def test_a_file_that_was_taken_is_not_taken_again_and_another_of_its_name_is_refused_beside_its_receipt(depot: Depot) -> None:
    depot.drop("f", BODY, RECORDS)
    await depot.inbox().look()
    receipt, stored = depot.answer("f"), len(depot.log.stored)
    depot.drop("f", BODY, RECORDS)
    await depot.inbox().look()
    depot.drop("f", ndjson(figure("f-9")), 1)
    service = depot.inbox()
    await service.look()
    await service.look()
    assert receipt["sha256"] in depot.answer("f", kind="refusal")["refused"]
    assert depot.answer("f") == receipt
    assert len(depot.log.stored) == stored


async def test_a_file_that_changes_while_it_is_read_is_refused_and_goes_on_when_it_is_put_back(depot: Depot) -> None:
    depot.drop("f", BODY, RECORDS)
    path = depot.folder() / "f.ndjson"

    def change() -> None:
        with path.open("ab") as file:
            file.write(b"{}\n")

    depot.log.after = change
    await depot.inbox().look()
    receipt = depot.answer("f")
    assert receipt["refused"] == "the file changed while it was read"
    assert counts(receipt) == (3, 3, 0, 0)
    depot.log.after = lambda: None
    depot.drop("f", BODY + b"{}\n", RECORDS + 1)
    await depot.inbox().look()
    assert "taken up to record 3" in depot.answer("f")["refused"]
    depot.drop("f", BODY, RECORDS)
    await depot.inbox().look()
    assert counts(depot.answer("f")) == (8, 7, 1, 0)
    assert sorted(depot.log.ids()) == [record["record_id"] for record in GOOD]


async def test_while_the_broker_is_away_a_file_waits_and_what_it_did_not_take_is_sent_again(depot: Depot) -> None:
    depot.drop("f", BODY, RECORDS)
    depot.ready = False
    looking = asyncio.ensure_future(depot.inbox().look())
    done, _ = await asyncio.wait({looking}, timeout=0.1)
    assert not done
    assert depot.log.stored == []
    depot.log.limit, depot.ready = 1, True
    await looking
    assert counts(depot.answer("f")) == (8, 7, 1, 0)
    assert sorted(depot.log.ids()) == [record["record_id"] for record in GOOD]


async def test_a_disk_that_is_full_is_waited_for_and_nothing_is_sent_twice(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    depot.drop("f", BODY, RECORDS)
    write, tries = write_whole, 0

    def full(path: Path, body: bytes) -> None:
        nonlocal tries
        tries += 1
        if tries % 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, body)

    monkeypatch.setattr(outbox, "write_whole", full)
    await depot.inbox().look()
    assert tries >= 6
    assert counts(depot.answer("f")) == (8, 7, 1, 0)
    assert sorted(depot.log.ids()) == [record["record_id"] for record in GOOD]


async def test_an_outbox_that_cannot_be_made_keeps_no_other_agency_waiting(depot: Depot) -> None:
    depot.drop("f", BODY, RECORDS, agency="a")
    depot.drop("f", BODY, RECORDS, agency="b")
    (depot.home / "outbox").mkdir()
    (depot.home / "outbox" / "a").write_bytes(b"in the way")
    service = depot.inbox()
    await service.look()
    assert counts(depot.answer("f", agency="b")) == (8, 7, 1, 0)
    (depot.home / "outbox" / "a").unlink()
    await service.look()
    assert counts(depot.answer("f", agency="a")) == (8, 7, 1, 0)


async def test_a_damaged_receipt_is_never_written_over(depot: Depot) -> None:
    depot.drop("f", BODY, RECORDS)
    answers = depot.home / "outbox" / "iom" / FEED
    answers.mkdir(parents=True)
    (answers / "f.receipt.json").write_bytes(b"{")
    await depot.inbox().look()
    assert depot.log.stored == []
    assert (answers / "f.receipt.json").read_bytes() == b"{"


async def test_a_folder_that_another_process_works_on_is_left_to_it(depot: Depot) -> None:
    depot.drop("f", BODY, RECORDS)
    answers = depot.home / "outbox" / "iom" / FEED
    answers.mkdir(parents=True)
    service = depot.inbox()
    with (answers / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        await service.look()
        assert depot.log.stored == []
    await service.look()
    assert counts(depot.answer("f")) == (8, 7, 1, 0)


async def test_two_services_on_one_inbox_take_each_file_once(depot: Depot) -> None:
    for i in range(20):
        depot.drop(f"f-{i}", ndjson(figure(f"r-{i}")), 1)
    one, other = depot.inbox(), depot.inbox()
    while len(depot.answered()) < 40:
        await asyncio.gather(one.look(), other.look())
    assert sorted(depot.log.ids()) == sorted(f"r-{i}" for i in range(20))


async def test_told_to_stop_it_stops_after_the_chunk_and_the_next_one_goes_on_there(depot: Depot) -> None:
    depot.drop("f", BODY, RECORDS)
    depot.log.after = depot.stopping.set
    await depot.inbox().look()
    assert len(depot.log.stored) == 3
    assert depot.answered() == []
    depot.log.after = lambda: None
    depot.stopping.clear()
    await depot.inbox().look()
    assert counts(depot.answer("f")) == (8, 7, 1, 0)
    assert sorted(depot.log.ids()) == [record["record_id"] for record in GOOD]


async def test_records_without_a_version_reach_the_log_in_the_order_of_the_file_and_without_one(depot: Depot) -> None:
    again = [figure("f-1", value=i) for i in range(10)]
    depot.drop("f", ndjson(*again), 10)
    depot.drop("g", ndjson(figure("f-1", value=99)), 1)
    await depot.inbox().look()
    assert [event["value"] for _, _, event in depot.log.stored] == [*range(10), 99]
    assert {event["version"] for _, _, event in depot.log.stored} == {0}


async def test_files_are_taken_in_the_order_in_which_their_manifests_came(depot: Depot) -> None:
    for age, name in enumerate(("c", "a", "b")):
        depot.drop(name, ndjson(figure(f"r-{name}")), 1)
        os.utime(depot.folder() / f"{name}.manifest.json", ns=(0, (age + 1) * 10**9))
    await depot.inbox().look()
    assert depot.log.ids() == ["r-c", "r-a", "r-b"]


async def test_an_empty_file_is_taken_as_nothing(depot: Depot) -> None:
    depot.drop("f", b"", 0)
    await depot.inbox().look()
    assert counts(depot.answer("f")) == (0, 0, 0, 0)
    assert depot.rejects("f") == []


async def test_a_folder_that_did_not_change_is_not_listed_again(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "LIST_SECONDS_MAX", 1000.0)
    depot.drop("f", BODY, RECORDS)
    service, listed = depot.inbox(), 0
    seen = Folder.seen

    def counted(folder: Folder) -> dict[str, str]:
        nonlocal listed
        listed += 1
        return seen(folder)

    monkeypatch.setattr(Folder, "seen", counted)
    for _ in range(10):
        await service.look()
    assert listed == 2
    depot.drop("g", ndjson(figure("f-9")), 1)
    await service.look()
    assert counts(depot.answer("g")) == (1, 1, 0, 0)


async def test_a_bug_ends_the_watch_instead_of_being_passed_over(depot: Depot) -> None:
    depot.drop("f", BODY, RECORDS)

    def bug() -> None:
        raise AssertionError("a bug")

    depot.log.before = bug
    with pytest.raises(AssertionError, match="a bug"):
        await depot.inbox().watch()


async def test_it_watches_until_the_service_stops(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "POLL_SECONDS", 0.001)
    depot.log.after = depot.stopping.set
    watching = asyncio.ensure_future(depot.inbox().watch())
    done, _ = await asyncio.wait({watching}, timeout=0.05)
    assert not done
    depot.drop("f", ndjson(*GOOD[:2]), 2)
    await asyncio.wait_for(watching, 10)
    assert depot.log.ids() == ["f-0", "f-1"]


async def test_rejects_that_somebody_took_away_are_made_again_with_the_same_events(depot: Depot) -> None:
    depot.drop("f", ndjson(BAD, *(figure(f"f-{i}") for i in range(5))), 6)
    depot.log.after = depot.stopping.set
    await depot.inbox().look()
    (depot.home / "outbox" / "iom" / FEED / ".f.rejects.part").unlink()
    depot.log.after = lambda: None
    depot.stopping.clear()
    await depot.inbox().look()
    assert counts(depot.answer("f")) == (6, 5, 1, 0)
    assert [reject["index"] for reject in depot.rejects("f")] == [0]
    first = {event["record_id"]: json.dumps(event) for _, _, event in depot.log.stored[:2]}
    again = {event["record_id"]: json.dumps(event) for _, _, event in depot.log.stored[2:]}
    assert first.items() <= again.items()
