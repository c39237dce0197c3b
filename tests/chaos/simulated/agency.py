"""What agencies send, with everything they get wrong: repeats, late versions, withdrawals, contradictions, rubbish."""

import random

import orjson

RECORDS_PER_PARTITION = 5  # few, so that versions of one record meet often
VERSIONS = 4
VARIANTS = 4  # different contents that one version is sent with
DAYS = ("2025-06-29", "2025-06-30", "2025-07-01")
OFFENCE_DAYS = ("2024-12-31", "2025-01-01", "2025-07-01")
MINUTES_APART = (-5, 0, 0, 0, 0, 0, 1, 5, 6, 60 * 24 * 40, -60 * 24 * 40)  # the edge's clock from the broker's; five are the limit
NO_TIMES = (b"", b"soon", b"-5", b"1.7e12", b"9" * 400, "\u0661".encode())
PERSONS = ("0" * 32, "1" * 32)  # few, so that one is found several times, under two citizenships too
RUBBISH: tuple[bytes | None, ...] = (b"{not json", None, b'{"version":1,"action":"record"}x')


def event(feed: str, partition: int, rng: random.Random) -> tuple[bytes, bytes | None, tuple[tuple[str, bytes], ...]]:
    """(key, value, headers but for the time of sending) of one record."""
    number, version = rng.randrange(RECORDS_PER_PARTITION), rng.randrange(1, VERSIONS + 1)
    key = f"agency/{partition}-{number}".encode()
    headers = (("schema", f"{feed}/1".encode()),)
    if rng.random() < 0.04:
        return key, rng.choice(RUBBISH), headers
    # Of one record no version has a number, of another only the higher ones have.
    numbered = number > 1 or (number == 1 and version > VERSIONS // 2)
    body: dict[str, object] = {"record_id": key.decode(), "version": version if numbered else 0}
    # The same version says the same again, mostly.
    variant = 0 if rng.random() < 0.93 else rng.randrange(1, VARIANTS)
    content = random.Random(f"{feed}/{partition}/{number}/{version}/{variant}")
    if content.random() < 0.15:
        return key, orjson.dumps({**body, "action": "withdraw"}), headers
    body["action"] = "record"
    body["citizenship"] = content.choice(["UZ", "TJ", "KZ"])
    if feed == "border-crossings":
        body["occurred_at"] = f"{content.choice(DAYS)}T{content.choice(['18:59:59.999', '19:00:00.000', '04:00:00.000'])}Z"
        body["direction"] = "sideways" if rng.random() < 0.02 else content.choice(["arrival", "departure"])
        body["counterpart"] = content.choice(["UZ", "RU"])
        body["purpose"] = content.choice(["employment", "tourism"])
    elif feed == "migration-violations":
        body["occurred_on"] = content.choice(OFFENCE_DAYS)
        body["citizenship"] = content.choice(["UZ", "KG", "CN", "KZ"])
        body["kind"] = content.choice(["work_without_permit", "work_without_contract", "overstay"])
        body["person"] = "nobody" if rng.random() < 0.02 else content.choice(PERSONS)
    else:
        body["category"] = content.choice(["1", "seasonal"])
        body["valid_from"] = content.choice(DAYS)
        body["valid_to"] = content.choice(["2025-07-01", "2025-12-31"])
        if content.random() < 0.3:
            body["revoked_on"] = content.choice(["2025-07-01", "2025-08-01"])
    return key, orjson.dumps(body), headers


def stamp(now_ms: int, rng: random.Random) -> tuple[tuple[str, bytes], ...]:
    """The header that says when the edge sent it, by a clock that is right or wrong; nothing from an edge that says no time."""
    luck = rng.random()
    if luck < 0.1:
        return ()
    if luck < 0.2:
        return (("stamped", rng.choice(NO_TIMES)),)
    return (("stamped", b"%d" % (now_ms + 60_000 * rng.choice(MINUTES_APART) + rng.choice((0, 0, -1, 1)))),)
