"""What was published against what was recomputed, key by key."""

from collections.abc import Mapping
from math import isclose
from typing import Any, NamedTuple

from services.shared.runtime.postgres.store import Published
from services.shared.statistics.exchange.observation import Observation
from tools.verify.recount import Figure

RELATIVE = 1e-9  # two ways to the same double differ by a few units of its last place, 1e-16 each
ABSOLUTE = 1e-9  # the same near 0: nothing is published with so many decimals
FREE = "F"  # CONF_STATUS of everything that is not under disclosure control

Key = tuple[str, str]
Attributes = dict[str, Any]


class Difference(NamedTuple):
    """One key that differs, with the attributes that do; None: the key is not there."""

    series: str
    period: str
    published: Attributes | None
    recomputed: Attributes | None
    on_topic: Attributes | None
    wrong: bool  # the database differs from the recount
    astray: bool  # the topic differs from the database

    def __str__(self) -> str:
        """One line: key, published, recomputed."""
        words = [f"{self.series}:{self.period}", f"published {_words(self.published)}"]
        if self.wrong:
            words.append(f"recomputed {_words(self.recomputed)}")
        if self.astray:
            words.append(f"on indicators.v1 {_words(self.on_topic)}")
        return "  ".join(words)


def _words(attributes: Attributes | None) -> str:
    if attributes is None:
        return "nothing"
    return " ".join(f"{name}={value}" for name, value in attributes.items())


def differences(
    published: Mapping[Key, Published | Observation],
    expected: Mapping[Key, Attributes],
    on_topic: Mapping[Key, Attributes] | None,
    period: str | None,
) -> tuple[int, list[Difference]]:
    """(number of keys compared, differing keys in order). `on_topic` None: not asked; `period`: only keys of this period."""
    topic = on_topic if on_topic is not None else {key: attributes(o) for key, o in published.items()}
    keys = sorted(key for key in published.keys() | expected.keys() | topic.keys() if period in (None, key[1]))
    found = (_difference(key, published.get(key), expected.get(key), topic.get(key)) for key in keys)
    return len(keys), [difference for difference in found if difference is not None]


def _difference(
    key: Key, published: Published | Observation | None, ours: Attributes | None, on_topic: Attributes | None
) -> Difference | None:
    theirs = None if published is None else attributes(published)
    # Of a key that is there on one side only, the value is what to show.
    wrong = {"OBS_VALUE"} if (ours is None) != (theirs is None) else set()
    if ours is not None and theirs is not None:
        wrong = {name for name in ours if not equal(name, ours, theirs)}
    astray = {"OBS_VALUE"} if (on_topic is None) != (theirs is None) else set()
    if on_topic is not None and theirs is not None:
        astray = {name for name in on_topic.keys() | theirs.keys() if on_topic.get(name) != theirs.get(name)}
    if not wrong and not astray:
        return None
    parts = (_chosen(theirs, wrong | astray), _chosen(ours, wrong), _chosen(on_topic, astray))
    return Difference(*key, *parts, bool(wrong), bool(astray))


def _chosen(attributes: Attributes | None, names: set[str]) -> Attributes | None:
    return None if attributes is None else {name: value for name, value in attributes.items() if name in names}


def of_figure(figure: Figure) -> Attributes:
    """A recomputed figure as it must be published."""
    value, lower, upper, unit, decimals, status = figure
    whole = int(value) if decimals == 0 and float(value).is_integer() else value
    return {
        "OBS_VALUE": whole, "LOWER": lower, "UPPER": upper, "UNIT_MEASURE": unit, "DECIMALS": decimals, "OBS_STATUS": status,
        "CONF_STATUS": FREE,
    }  # fmt: skip


def attributes(o: Published | Observation) -> Attributes:
    """As `indicators.v1` has it; of an observation that is not a publication's without the publication."""
    found = {
        "OBS_VALUE": o.value, "LOWER": o.lower, "UPPER": o.upper, "UNIT_MEASURE": o.unit, "DECIMALS": o.decimals,
        "OBS_STATUS": o.status, "CONF_STATUS": o.confidentiality,
    }  # fmt: skip
    if isinstance(o, Published):
        found |= {"AS_OF": o.as_of, "PUBLISHED_AT": o.published_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    return found


def equal(name: str, mine: Attributes, theirs: Attributes) -> bool:
    """Whether two figures agree in one attribute: counts exactly, other numbers but for the last places."""
    a, b = mine[name], theirs[name]
    numbers = name in ("OBS_VALUE", "LOWER", "UPPER") and a is not None and b is not None
    is_count = mine["DECIMALS"] == 0 and mine["LOWER"] is None
    if numbers and not is_count:
        return isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return bool(a == b)
