"""How many people were never found, from how often those who were found were found.

Input of all estimators: frequencies `{times: persons}`, times at least 1. Each gives the number of all people, found or
not, with its 95 % interval, or says why these data cannot carry it. Pages: docs/methods/{chao,zelterman,truncated-poisson}.md.
"""

from collections.abc import Callable, Mapping
from math import exp, expm1, log1p, sqrt

import scipy

from services.shared.statistics.estimation.estimate import Z_95, Absent, Interval

Frequencies = Mapping[int, int]  # how often -> persons


_NOBODY = Absent("nobody was found")
_NONE_ONCE = Absent("nobody was found exactly once: nothing tells of those who were not found")
_NONE_TWICE = Absent("nobody was found exactly twice: the chance to be found cannot be estimated")
_NONE_AGAIN = Absent("nobody was found more than once: the chance to be found cannot be estimated")


def persons_found(frequencies: Frequencies) -> int:
    """How many people there are in a table of frequencies, each counted once."""
    assert all(times >= 1 and persons >= 0 for times, persons in frequencies.items()), "frequencies start at 1"
    return sum(frequencies.values())


def chao(frequencies: Frequencies) -> Interval | Absent:
    """Chao's lower bound with its log-normal interval; the bias-corrected form where nobody was found twice.

    A. Chao, Estimating the population size for capture-recapture data with unequal catchability, Biometrics 43 (1987).
    """
    n, once, twice = persons_found(frequencies), frequencies.get(1, 0), frequencies.get(2, 0)
    if n == 0:
        return _NOBODY
    if once == 0:
        return _NONE_ONCE
    if twice:
        missed, ratio = once**2 / (2 * twice), once / twice
        variance = twice * (ratio**4 / 4 + ratio**3 + ratio**2 / 2)
    elif once > 1:
        missed = once * (once - 1) / 2
        variance = missed + once * (2 * once - 1) ** 2 / 4 - once**4 / (4 * (n + missed))
    else:
        return _NONE_TWICE
    factor = exp(Z_95 * sqrt(log1p(variance / missed**2)))
    return Interval(n + missed, n + missed / factor, n + missed * factor)


def zelterman(frequencies: Frequencies) -> Interval | Absent:
    """Zelterman's estimator: the rate is taken from those found once and twice only.

    D. Zelterman, Robust estimation in truncated discrete distributions, J. Stat. Plann. Inference 18 (1988); variance: D. Böhning,
    A simple variance formula for population size estimators by conditioning, Stat. Methodol. 5 (2008).
    """
    n, once, twice = persons_found(frequencies), frequencies.get(1, 0), frequencies.get(2, 0)
    if n == 0:
        return _NOBODY
    if once == 0:
        return _NONE_ONCE
    if twice == 0:
        return _NONE_TWICE
    rate = 2 * twice / once
    return _horvitz_thompson(n, rate, rate**2 * (1 / once + 1 / twice))


def truncated_poisson(frequencies: Frequencies) -> Interval | Absent:
    """The zero-truncated Poisson: everyone is found at the same rate, fitted by maximum likelihood to all frequencies.

    P. G. M. van der Heijden and others, Point and interval estimation of the population size using the truncated Poisson regression
    model, Stat. Modelling 3 (2003).
    """
    n = persons_found(frequencies)
    if n == 0:
        return _NOBODY
    mean = sum(times * persons for times, persons in frequencies.items()) / n
    if mean == 1:
        return _NONE_AGAIN
    # rate / (1 - exp(-rate)) lies between 1 + rate / 2 and 1 + rate, so the root lies between these two.
    rate = float(scipy.optimize.brentq(lambda x: -x / expm1(-x) - mean, mean - 1, 2 * (mean - 1)))
    found = -expm1(-rate)
    return _horvitz_thompson(n, rate, rate * found**2 / (n * (found - rate * exp(-rate))))


def _horvitz_thompson(n: int, rate: float, rate_variance: float) -> Interval:
    """n people found, each with the chance of a Poisson count above 0. Those who were found are there: never below n."""
    found = -expm1(-rate)
    slope = n * exp(-rate) / found**2  # both the variance of the count given the rate and how the value moves with the rate
    value, half = n / found, Z_95 * sqrt(slope + slope**2 * rate_variance)
    return Interval(value, max(float(n), value - half), value + half)


METHODS: dict[str, Callable[[Frequencies], Interval | Absent]] = {
    "CHAO": chao,
    "ZELTERMAN": zelterman,
    "TRUNCATED_POISSON": truncated_poisson,
}

_COMMON_ASSUMPTIONS = (
    ("Nobody joins or leaves those who can be found within the year", "red"),
    ("Having been found once does not change the chance to be found again", "red"),
    ("One person has one document number within the year", "amber"),
    ("Those found with an offence against the rules of work are those who work informally", "amber"),
)
ASSUMPTIONS = {
    "CHAO": (*_COMMON_ASSUMPTIONS, ("Where people differ in how easily they are found, this is a lower bound", "green")),
    "ZELTERMAN": (*_COMMON_ASSUMPTIONS, ("Those found once or twice are found like those who were never found", "amber")),
    "TRUNCATED_POISSON": (*_COMMON_ASSUMPTIONS, ("Everyone is found equally easily, at random", "red")),
}
