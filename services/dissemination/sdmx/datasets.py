"""The data sets that answer a data query: what is published, what changed, or the whole history."""

import asyncio
from itertools import groupby

from services.dissemination.sdmx.archive import Archive
from services.dissemination.sdmx.message import DELETE, INFORMATION, REPLACE, DataSet, limited
from services.dissemination.sdmx.query import DataQuery, Selection
from services.shared.runtime.http.problem import Problem
from services.shared.runtime.postgres.store import Snapshot

OBSERVATIONS_MAX = 250_000  # at most 32 MB, and four seconds of one core, in any format
CHANGES_MAX = 50_000  # a history is read into memory whole: some twenty megabytes


async def select(archive: Archive, snapshot: Snapshot, query: DataQuery) -> list[DataSet]:
    """What the query selects. Raises Problem 404 if it is nothing, 413 if it is too much; Unavailable."""
    if query.include_history:
        data_sets = await _history(archive, snapshot, query)
    else:
        rows = await asyncio.to_thread(query.selection.of, snapshot.observations.values())
        data_sets = [DataSet(INFORMATION, limited(rows, query))]
        if query.updated_after is not None:
            after = query.updated_after
            gone = await archive.taken_back(query.selection.keys, after, snapshot.publication)
            replaced = [row for row in rows if row.published_at > after]
            data_sets = [DataSet(REPLACE, limited(replaced, query)), DataSet(DELETE, limited(_of_keys(query).of(gone), query))]
    data_sets = [one for one in data_sets if one.rows]
    count = sum(len(one.rows) for one in data_sets)
    if count > OBSERVATIONS_MAX:
        raise Problem(413, f"{count} observations, more than {OBSERVATIONS_MAX}: narrow the key, or c[TIME_PERIOD], or set limit")
    if not count:
        raise Problem(404, "no data: nothing that is published fits the query")
    return data_sets


def _of_keys(query: DataQuery) -> Selection:
    return Selection(query.selection.keys, query.selection.of_keys)


async def _history(archive: Archive, snapshot: Snapshot, query: DataQuery) -> list[DataSet]:
    """One data set for each publication that changed something, and one for what it took back."""
    found = await archive.changes(query.selection.keys, query.updated_after, snapshot.publication, CHANGES_MAX + 1)
    if len(found) > CHANGES_MAX:
        raise Problem(413, f"more than {CHANGES_MAX} changes: narrow the key, or set updatedAfter")
    data_sets = []
    for _, of in groupby(found, key=lambda change: change.publication):
        made = list(of)
        at = made[0].published_at
        rows = query.selection.of(change.row for change in made if not change.gone)
        gone = _of_keys(query).of(change.row for change in made if change.gone)
        data_sets += [DataSet(REPLACE, limited(rows, query), valid_from=at), DataSet(DELETE, limited(gone, query), valid_to=at)]
    return data_sets
