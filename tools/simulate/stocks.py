"""Memberships that make stated stocks: who is in from when to when, so that each date finds exactly as many."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tools.simulate.apportion import apportion

EPOCH = dt.date(1970, 1, 1)
# How long a post may stand empty between two holders, in days.
VACANT_DAYS_MOST = 6


@dataclass(frozen=True)
class Memberships:
    """One entry each. `post` numbers the places of a stock: post i is filled at every date whose stock exceeds i.

    `first`, `last`: the first and last of the dates (by index) that find it in. `start`: its first day, where it began
    after the first date (else `UNKNOWN`); `end`: its first day no longer in, where it ended by the last date (else
    `UNKNOWN`). Days count from 1970-01-01.
    """

    post: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]


UNKNOWN = -1


def day_number(day: dt.date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


def memberships(stocks: Mapping[dt.date, int], turnover: Fraction, rng: np.random.Generator) -> Memberships:
    """Memberships for `stocks` at the ends of dates in rising order.

    Between two dates posts are emptied or filled as the stocks say, and `turnover` (a share) of those that remain get
    a new holder. Chance decides the days, not the stocks.
    """
    days = [day_number(day) for day in stocks]
    sizes = list(stocks.values())
    since = np.zeros(max(sizes), np.int64)
    start = np.full(max(sizes), UNKNOWN, np.int64)
    ended: list[tuple[NDArray[np.int64], ...]] = []
    for k in range(1, len(days)):
        # The day of change lies after the date before, and not after this one.
        change = rng.integers(days[k - 1] + 1, days[k] + 1, max(sizes))
        filled = np.minimum(change + rng.integers(0, VACANT_DAYS_MOST + 1, max(sizes)), days[k])
        before, now = sizes[k - 1], sizes[k]
        leaving = rng.random(max(sizes)) < float(turnover)
        leaving[min(before, now) :] = False
        leaving[now:before] = True
        gone = np.flatnonzero(leaving)
        ended.append((gone, since[gone], np.full(len(gone), k - 1), start[gone], change[gone]))
        coming = leaving.copy()
        coming[now:] = False
        coming[before:now] = True
        since[coming], start[coming] = k, filled[coming]
    stay = np.arange(sizes[-1])
    last = np.full(len(stay), len(days) - 1)
    ended.append((stay, since[stay], last, start[stay], np.full(len(stay), UNKNOWN)))
    return Memberships(*(np.concatenate(column) for column in zip(*ended, strict=True)))


def structure(weights: Mapping[str, Fraction], exact: int, size: int, rng: np.random.Generator) -> NDArray[np.str_]:
    """`size` codes in random order; the first `exact` of them are in proportion to `weights` as nearly as can be."""
    codes = np.array(list(weights))
    first = np.repeat(codes, apportion(exact, list(weights.values())))
    more = np.repeat(codes, apportion(size - exact, list(weights.values())))
    return np.concatenate([rng.permutation(first), rng.permutation(more)])
