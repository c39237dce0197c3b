"""Dead letters back to the logs that they came from, after what was wrong has been mended.

A record is appended at the end of its log. One with a version loses nothing by that. Of records without a version the last in the
log counts, and appended now it would take the place of what its agency sent after it. So such a letter is closed without being
appended if its log has a later record of the same key that was not set aside: it is overtaken. What is appended says in a header
where its record first stood, so that a redriving that was cut short takes no copy for something that came later.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from services.shared.runtime.kafka.clients import producer, reading
from services.shared.runtime.kafka.dead_letters import REDRIVEN, TOPIC, Letter, open_letters
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.records import Headers
from services.shared.statistics.folding.fold import UNNUMBERED

FIRST_OFFSET = "redriven-from"  # header of an appended record: the offset at which it first stood
POLL_MS = 1000  # waiting for the next fetch; a slow broker only means another turn

Origin = tuple[str, int]  # topic on the cluster, partition


class Plan(NamedTuple):
    """What becomes of letters: `append`ed, in the order of their logs; `overtaken`: closed; `left_out`: they stay as they are, as
    they are without their record, which no ingest service would have let in."""

    append: list[Letter]
    overtaken: list[Letter]
    left_out: list[Letter]


async def plan(settings: Settings, letters: Sequence[Letter]) -> Plan:
    """Decide, by what stands in the logs now. `letters`: of those that are open the ones that are meant, or all."""
    whole = sorted((one for one in letters if not one.left_out), key=lambda one: (*_origin(one), _first_offset(one)))
    unnumbered: dict[Origin, list[Letter]] = defaultdict(list)
    for letter in whole:
        if _is_unnumbered(letter.value):
            unnumbered[_origin(letter)].append(letter)
    aside = {(*_origin(one), one.origin_offset) for one in await open_letters(settings)} if unnumbered else set()
    late = {place for origin, some in unnumbered.items() for place in await _overtaken(settings, origin, some, aside)}
    append = [one for one in whole if (*_origin(one), one.origin_offset) not in late]
    overtaken = [one for one in whole if (*_origin(one), one.origin_offset) in late]
    return Plan(append, overtaken, [one for one in letters if one.left_out])


async def redrive(settings: Settings, letters: Sequence[Letter]) -> Plan:
    """Append records to the logs they came from, and close their letters; what is still bad comes back as a new one.

    What an agency sends while this looks through the log, a matter of seconds, may be overtaken by its own former record.
    """
    planned = await plan(settings, letters)
    client = producer(settings, "tolqyn-redrive")
    await client.start()
    try:
        for letter in planned.append:
            headers = [*(h for h in letter.headers if h[0] != FIRST_OFFSET), (FIRST_OFFSET, b"%d" % _first_offset(letter))]
            origin, partition = _origin(letter)
            await client.send_and_wait(origin, letter.value or None, letter.key or None, partition, headers=headers)
            await _close(client, settings, letter)
        for letter in planned.overtaken:
            await _close(client, settings, letter)
    finally:
        await client.stop()
    return planned


async def _close(client: Any, settings: Settings, letter: Letter) -> None:
    place = f"{letter.origin_topic}/{letter.origin_partition}/{letter.origin_offset}".encode()
    await client.send_and_wait(settings.topic(TOPIC), b"", place, 0, headers=[("schema", b"dead-letters/1"), ("reason", REDRIVEN)])


async def _overtaken(
    settings: Settings, origin: Origin, letters: list[Letter], aside: set[tuple[str, int, int]]
) -> set[tuple[str, int, int]]:
    """Places of those letters after whose records another of the same key came, and was not set aside."""
    topic, partition = origin
    newest = dict.fromkeys((one.key for one in letters), -1)
    async with reading(settings, topic.removeprefix(settings.prefix), [partition]) as client:
        (tp,) = client.assignment()
        end = (await client.end_offsets([tp]))[tp]
        client.seek(tp, min(map(_first_offset, letters)) + 1)
        while await client.position(tp) < end:
            for records in (await client.getmany(tp, timeout_ms=POLL_MS)).values():
                for record in records:
                    if record.key in newest and (*origin, record.offset) not in aside:
                        newest[record.key] = max(newest[record.key], _stood_first(record.headers, record.offset))
    return {(*origin, one.origin_offset) for one in letters if newest[one.key] > _first_offset(one)}


def _origin(letter: Letter) -> Origin:
    return letter.origin_topic, letter.origin_partition


def _first_offset(letter: Letter) -> int:
    return _stood_first(letter.headers, letter.origin_offset)


def _stood_first(headers: Headers, offset: int) -> int:
    said = dict(headers).get(FIRST_OFFSET, b"")
    return int(said) if said.isdigit() else offset


def _is_unnumbered(value: bytes) -> bool:
    """Whether this is a record without a version. What cannot be read is none: nor will tally read it."""
    try:
        read = orjson.loads(value)
    except orjson.JSONDecodeError:
        return False
    return isinstance(read, dict) and type(read.get("version")) is int and read["version"] == UNNUMBERED
