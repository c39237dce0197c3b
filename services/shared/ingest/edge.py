"""The edge: one record as an agency sent it, to one event as it stands in the log, or to a refusal. Pure."""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from pydantic import TypeAdapter, ValidationError

from schemas.feeds import Feed
from schemas.feeds.fields import UNNUMBERED, Day, Identity, Moment, Withdrawal, annotations
from services.shared.ingest.calendar_rules import DAY_FIRST, DAY_LAST, MOMENT_FIRST, Latest, is_day, utc_milliseconds
from services.shared.ingest.refusal import MALFORMED, RECORD_BYTES_MAX, TOO_LARGE, Code, Refusal, from_pydantic, parse, refusal

PSEUDONYM_BYTES = 16  # 128 bits: no two of a billion persons meet by chance

Event = dict[str, Any]


def _marked(record: type, kind: type) -> tuple[str, ...]:
    return tuple(name for name, items in annotations(record).items() if any(isinstance(item, kind) for item in items))


def number_fields(feed: Feed) -> frozenset[str]:
    """The fields of a feed that are numbers: CSV, which has only text, is read by them."""
    properties = TypeAdapter(feed.record).json_schema()["properties"]
    return frozenset(name for name, schema in properties.items() if schema.get("type") != "string" and "enum" not in schema)


def _versioned(record: Event) -> Event:
    """With a version in its place, whether the agency gave one or not."""
    return record if "version" in record else {"record_id": record["record_id"], "version": UNNUMBERED} | record


class Edge:
    """The rules of one feed, with the key behind its pseudonyms."""

    def __init__(self, feed: Feed, secret: bytes, key_id: str) -> None:
        self.feed = feed
        self._keyed, self.key_id = blake2b(key=secret, digest_size=PSEUDONYM_BYTES), key_id
        adapter = TypeAdapter[Event](feed.record)
        self._record: Callable[[bytes], Event] = adapter.validator.validate_json
        self._withdrawal: Callable[[bytes], Event] = TypeAdapter(Withdrawal).validator.validate_json
        self.schema = adapter.json_schema()
        self._rules = {name: schema["description"] for name, schema in self.schema["properties"].items()}
        self.moments, self.identities = _marked(feed.record, Moment), _marked(feed.record, Identity)
        days = [(name, item) for name, items in annotations(feed.record).items() for item in items if isinstance(item, Day)]
        self.days = tuple((name, day.event) for name, day in days)

    def check(self, raw: bytes, latest: Latest) -> Event | Refusal:
        """The event that one JSON text becomes: fields in the contract's order, times in UTC, pseudonyms for identities.

        Its `version` is UNNUMBERED if the agency gave none. `latest` bounds the future.
        """
        if len(raw) > RECORD_BYTES_MAX:
            return TOO_LARGE
        try:
            event = _versioned(self._record(raw))
        except ValidationError as error:
            return self._no_record(raw, error)
        for field in self.moments:
            moment = utc_milliseconds(event[field])
            if moment is None:
                return refusal(Code.INVALID_VALUE, field, self._rules)
            if moment < MOMENT_FIRST:
                return refusal(Code.OUT_OF_RANGE, field, self._rules)
            if moment > latest.moment:
                return refusal(Code.FUTURE_TIME, field, self._rules)
            event[field] = moment
        return self._bad_day(event, latest) or self._pseudonymised(event)

    def _bad_day(self, event: Event, latest: Latest) -> Refusal | None:
        for field, of_the_event in self.days:
            day = event.get(field)
            if day is None:
                continue
            if not is_day(day):
                return refusal(Code.INVALID_VALUE, field, self._rules)
            if not DAY_FIRST <= day <= DAY_LAST:
                return refusal(Code.OUT_OF_RANGE, field, self._rules)
            if of_the_event and day > latest.day:
                return refusal(Code.FUTURE_TIME, field, self._rules)
        for order in self.feed.orders:
            later = event.get(order.later)
            if later is not None and (later < event[order.earlier] or (order.strict and later == event[order.earlier])):
                bound = f"after {order.earlier}" if order.strict else f"{order.earlier} or later"
                return Refusal(Code.OUT_OF_RANGE, "/" + order.later, f"outside the bounds: must be {bound}")
        return None

    def pseudonym(self, value: bytes) -> str:
        """The keyed pseudonym of an identity's UTF-8 text."""
        keyed = self._keyed.copy()  # half the time of setting the key up anew
        keyed.update(value)
        return keyed.hexdigest()

    def _pseudonymised(self, event: Event) -> Event:
        for field in self.identities:
            value = event.get(field)
            if value is not None:
                event[field] = self.pseudonym(value.encode())
                event["pseudonym_key"] = self.key_id  # a dict keeps the place of its first writing: after all fields
        return event

    def _no_record(self, raw: bytes, error: ValidationError) -> Event | Refusal:
        """A withdrawal, which may come with anything beside it; else the refusal."""
        try:
            value = parse(raw)
        except ValueError:
            return MALFORMED
        if isinstance(value, dict) and value.get("action") == "withdraw":
            try:
                return _versioned(self._withdrawal(raw))
            except ValidationError as other:
                error = other
        return from_pydantic(error, value, self.identities, self._rules)
