"""Whole record batches out of aiokafka's fetcher, as columns, without its Python object per record.

aiokafka parses batches in Cython and then wraps every record in Python, which costs more than all of tally's own work. This module
puts itself between: where the fetcher keeps what it fetched, `PartitionRecords` is replaced by `_WholeBatches`, which yields one
`Records` per batch. Positions, pauses, rebalances and aborted transactions stay aiokafka's own.

That place is private, so it is used only with the version that the tests ran against; with any other, `install` says so and leaves
the consumer as it is (records one by one: slower, never wrong).
"""

import logging
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import aiokafka
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import CorruptRecordException

from services.shared.statistics.records import Records

AIOKAFKA_TESTED = "0.14.0"

log = logging.getLogger("tolqyn.kafka")


def install(consumer: AIOKafkaConsumer) -> bool:
    """Make a started consumer that has fetched nothing yet give whole batches from `getmany`.

    False, and nothing done, if this aiokafka is not the tested one.
    """
    if aiokafka.__version__ != AIOKAFKA_TESTED:
        log.warning("aiokafka %s, tested with %s: reading records one by one", aiokafka.__version__, AIOKAFKA_TESTED)
        return False
    fetcher = consumer._fetcher
    assert not fetcher._records, "install before the first fetch"
    fetcher._records = _Fetched()
    return True


class _Fetched(OrderedDict[Any, Any]):
    """What the fetcher has fetched, by partition; results are turned to whole batches as they come in."""

    def __setitem__(self, tp: Any, result: Any) -> None:
        if isinstance(result, FetchResult):
            result._partition_records = _WholeBatches(result._partition_records)
        super().__setitem__(tp, result)


class _WholeBatches:
    """Stands in for aiokafka's PartitionRecords: iterates over batches, and knows the offset to fetch next."""

    def __init__(self, records: Any) -> None:
        self._inner = records
        self._batches = self._unpack()

    @property
    def next_fetch_offset(self) -> int:
        offset: int = self._inner.next_fetch_offset
        return offset

    def __iter__(self) -> Iterator[Records]:
        return self._batches

    def _unpack(self) -> Iterator[Records]:
        inner = self._inner
        while inner._records.has_next():
            batch = inner._records.next_batch()
            if inner._check_crcs and not batch.validate_crc():
                raise CorruptRecordException(f"Invalid CRC - {inner._tp}")
            start = inner.next_fetch_offset
            inner.next_fetch_offset = batch.next_offset
            if self._is_void(batch):
                continue
            rows = list(batch)
            if rows and rows[0].offset < start:  # the batch begins before the place that was asked for
                rows = [row for row in rows if row.offset >= start]
            if rows:
                yield Records(
                    [row.offset for row in rows],
                    [row.timestamp for row in rows],
                    [row.key for row in rows],
                    [row.value for row in rows],
                    [tuple(row.headers) for row in rows],
                )

    def _is_void(self, batch: Any) -> bool:
        """Whether the batch holds no records to count: a control batch, or one of an aborted transaction."""
        inner = self._inner
        if batch.producer_id is not None:
            inner._consume_aborted_up_to(batch.base_offset)
            if batch.is_control_batch and inner._contains_abort_marker(batch):
                inner._aborted_producers.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in inner._aborted_producers:
                return True
        return bool(batch.is_control_batch)
