"""How many crossings of each kind each quarter has: whole numbers that meet the targets exactly, before any chance."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from tools.simulate.apportion import apportion
from tools.simulate.reading import TargetsError
from tools.simulate.targets import EAEU, PURPOSES, CrossingTargets, Flow, Quarter

ARRIVAL, DEPARTURE = 0, 1
EMPLOYMENT = PURPOSES.index("employment")


@dataclass(frozen=True)
class Block:
    """All crossings of one citizenship in one direction and quarter.

    `counterparts` (by country code) and `purposes` (in the order of PURPOSES) both add to the number of crossings.
    """

    quarter: Quarter
    direction: int
    citizenship: str
    counterparts: Mapping[str, int]
    purposes: tuple[int, ...]


def plan_crossings(targets: CrossingTargets, scale: Fraction) -> list[Block]:
    """The blocks at `scale` (0 < scale <= 1): every total is round(total * scale), shares by largest remainder.

    Raises TargetsError when the employment balance cannot be met at full size, or a total would round to 0.
    """
    _plan(targets, Fraction(1), strict=True)
    return _plan(targets, scale, strict=False)


def _plan(targets: CrossingTargets, scale: Fraction, strict: bool) -> list[Block]:
    blocks: list[Block] = []
    for quarter in targets.quarters:
        arrivals = targets.flows["arrivals", quarter.name]
        departures = targets.flows["departures", quarter.name]
        arriving = {
            citizenship: _mixed(count, citizenship, departures.country_shares(), targets.own_counterpart)
            for citizenship, count in _by_country(arrivals, scale, quarter.name).items()
        }
        leaving = _transposed(
            {
                destination: _mixed(count, destination, arrivals.country_shares(), targets.own_counterpart)
                for destination, count in _by_country(departures, scale, quarter.name).items()
            }
        )
        balances = _balances(targets, quarter, scale)
        for citizenship in sorted({*arriving, *leaving}):
            come, gone = arriving.get(citizenship, {}), leaving.get(citizenship, {})
            employed = _employment(targets, citizenship, sum(come.values()), sum(gone.values()), balances, strict)
            blocks += [
                Block(quarter, direction, citizenship, counterparts, _purposes(targets, counterparts, for_work))
                for direction, counterparts, for_work in zip((ARRIVAL, DEPARTURE), (come, gone), employed, strict=True)
                if counterparts
            ]
        for series, direction in (("citizens_in", ARRIVAL), ("citizens_out", DEPARTURE)):
            counterparts = _by_country(targets.flows[series, quarter.name], scale, quarter.name)
            for_work = round(sum(counterparts.values()) * targets.employment_default)
            blocks.append(Block(quarter, direction, "KZ", counterparts, _purposes(targets, counterparts, for_work)))
    return blocks


def _by_country(flow: Flow, scale: Fraction, period: str) -> dict[str, int]:
    total = round(flow.total * scale)
    if not total:
        raise TargetsError(f"at scale {float(scale):g} nothing is left of the {flow.total} crossings of {period}")
    parts = apportion(total, [share for share, _ in flow.blocks])
    counts: dict[str, int] = {}
    for part, (_, members) in zip(parts, flow.blocks, strict=True):
        counts.update(zip(members, apportion(part, list(members.values())), strict=True))
    return {code: count for code, count in counts.items() if count}


def _mixed(count: int, own: str, others: Mapping[str, Fraction], own_share: Fraction) -> dict[str, int]:
    """Divide `count` between the `own` country and, for the rest, the `others` in proportion to their shares."""
    rest = {code: share for code, share in others.items() if code != own}
    kept = 0 if own == "XX" else round(count * own_share) if any(rest.values()) else count
    mixed = {own: kept, **dict(zip(rest, apportion(count - kept, list(rest.values())), strict=True))}
    return {code: part for code, part in mixed.items() if part}


def _transposed(table: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    turned: dict[str, dict[str, int]] = {}
    for row, cells in table.items():
        for column, count in cells.items():
            turned.setdefault(column, {})[row] = count
    return turned


def _balances(targets: CrossingTargets, quarter: Quarter, scale: Fraction) -> dict[str, int]:
    full = targets.balance[quarter.name]
    parts = apportion(round(sum(full.values()) * scale), [Fraction(balance) for balance in full.values()])
    return dict(zip(full, parts, strict=True))


def _employment(
    targets: CrossingTargets, citizenship: str, come: int, gone: int, balances: Mapping[str, int], strict: bool
) -> tuple[int, int]:
    """Arrivals and departures for employment: their difference is the target balance, 0 where none is stated.

    Not for the EAEU, whose citizens need no permit and do not enter the residual estimate. At a fraction of the full
    size a few crossings may not suffice for the balance of a small citizenship: then as much of it as there are.
    """
    share = targets.employment.get(citizenship, targets.employment_default)
    if citizenship in EAEU:
        return round(come * share), round(gone * share)
    balance = balances.get(citizenship, 0)
    arriving = round(come * share)
    if strict and not balance <= arriving <= balance + gone:
        raise TargetsError(
            f"employment_balance.{citizenship}: contradictory: {arriving} arrivals for employment and {gone} "
            f"departures in all cannot differ by {balance}"
        )
    leaving = min(max(arriving - balance, 0), gone)
    return min(leaving + balance, come), leaving


def _purposes(targets: CrossingTargets, counterparts: Mapping[str, int], for_work: int) -> tuple[int, ...]:
    codes = [code for code in PURPOSES if code != "employment"]
    rest = sum(counterparts.values()) - for_work
    parts = apportion(rest, [targets.purposes.get(code, Fraction(0)) for code in codes])
    parts.insert(EMPLOYMENT, for_work)
    return tuple(parts)
