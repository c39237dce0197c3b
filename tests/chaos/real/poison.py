"""Records written straight to the log, past the ingest services that would have refused them."""

import random
from typing import Any, NamedTuple

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from services.shared.runtime.kafka.topics import load_topics

MIB = 1 << 20
CLIENT_BYTES_MAX = 200 * MIB  # more than any service of ours sends, or the broker takes
CROSSING = {"action": "record", "occurred_at": "2025-05-05T05:05:05.000Z", "direction": "arrival", "citizenship": "UZ",
            "counterpart": "UZ", "purpose": "tourism"}  # fmt: skip
PERMIT = {"action": "record", "citizenship": "CN", "category": "1", "valid_from": "2025-05-05", "valid_to": "2025-12-31"}
GOOD: dict[str, dict[str, Any]] = {"border-crossings": CROSSING, "work-permits": PERMIT}


class Poison(NamedTuple):
    """One record. `packed`: compressed, as a producer may."""

    name: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    packed: bool = False


def poisons(feed: str, draw: str) -> list[Poison]:
    """Every kind once, in an order drawn from a seed."""
    rng = random.Random(draw)
    tag = rng.randrange(1 << 32)
    schema = [("schema", f"{feed}/1".encode())]
    good = {"record_id": f"poison-{tag}", "version": 1, **GOOD[feed]}
    value, key = orjson.dumps(good), f"poison/{tag}".encode()
    noise = rng.randbytes(MIB).hex().encode()  # does not compress to nothing
    made = [
        Poison("not JSON", key, b"{not json " + str(tag).encode(), schema),
        Poison("no object", key, f"[{tag}]".encode(), schema),
        Poison("null value", key, None, schema),
        Poison("null key", None, value, schema),
        Poison("another feed's schema", key, value + b" ", [("schema", b"visitor-stays/1")]),
        Poison("no header at all", key, value + b"  ", []),
        Poison("newer major schema", key, value + b"   ", [("schema", f"{feed}/2".encode())]),
        Poison("impossible value", key, orjson.dumps({**good, "citizenship": "Uzbekistan"}), schema),
        Poison("unknown header on a good record", f"poison/fine-{tag}".encode(), value, [("trace", b"1"), *schema]),
        Poison("10 MB", key, b'{"x":"' + noise * 5, schema),
        Poison("40 MB, packed by its producer", key, b'{"x":"' + b"0" * (40 * MIB), schema, packed=True),
        Poison("20 MB", key, b"0" * (20 * MIB), schema),
    ]
    rng.shuffle(made)
    return made


async def write(bootstrap_servers: str, feed: str, some: list[Poison], rng: random.Random) -> tuple[dict[str, int], list[Poison]]:
    """Write them to partitions drawn by chance: (one past the greatest offset by partition, what the broker itself refused)."""
    topic = f"events.{feed}.v1"
    ends: dict[str, int] = {}
    refused = []
    for poison in some:
        client = AIOKafkaProducer(
            bootstrap_servers=bootstrap_servers,
            max_request_size=CLIENT_BYTES_MAX,
            compression_type="gzip" if poison.packed else None,
        )
        await client.start()
        try:
            partition = rng.randrange(load_topics()[topic].partitions)
            try:
                done = await client.send_and_wait(topic, poison.value, poison.key, partition, headers=poison.headers)
            except MessageSizeTooLargeError:
                refused.append(poison)
            else:
                name = f"{feed}/{partition}"
                ends[name] = max(ends.get(name, 0), done.offset + 1)
        finally:
            await client.stop()
    return ends, refused
