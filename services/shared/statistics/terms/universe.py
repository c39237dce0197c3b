"""What is counted: numbers of different universes are of different types and cannot be added, compared or divided.

A crossing is a movement, not a person; a permit is one of some fifteen thousand, a crossing one of millions. `mypy` refuses to mix
them, and so does Python. The one conversion there is has a name: `crossings_as_persons`.
"""

from typing import Generic, NamedTuple, Self, TypeVar


class Quantity:
    """A number of some universe. Subclasses are the universes; arithmetic stays within one, and a ratio is a plain number."""

    __slots__ = ("value",)

    def __init__(self, value: float) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value})"

    def __add__(self, other: Self) -> Self:
        return type(self)(self.value + self._same(other))

    def __sub__(self, other: Self) -> Self:
        return type(self)(self.value - self._same(other))

    def __truediv__(self, other: Self) -> float:
        return self.value / self._same(other)

    def percent_of(self, whole: Self) -> float:
        """100 * self / whole."""
        return 100 * self.value / self._same(whole)

    def change_from(self, base: Self) -> float:
        """In percent: 100 * (self / base - 1)."""
        return 100 * (self.value / self._same(base) - 1)

    def _same(self, other: "Quantity") -> float:
        if type(other) is not type(self):
            raise TypeError(f"{type(self).__name__} and {type(other).__name__} are not counted in the same universe")
        return other.value


class Crossings(Quantity):
    """Movements over the border."""


class Residents(Quantity):
    """Persons who changed their permanent residence."""


class Emigrants(Quantity):
    """Citizens leaving for work abroad."""


class Permits(Quantity):
    """Work permits, and the persons who work under one."""


class Students(Quantity):
    """Open enrolments of foreigners."""


class Stays(Quantity):
    """Stays of guests and patients."""


Q = TypeVar("Q", bound=Quantity)


class Measure(NamedTuple, Generic[Q]):
    """A measure of the aggregates, and what it counts."""

    name: str
    universe: type[Q]


def crossings_as_persons(balance: Crossings) -> Permits:
    """A balance of crossings for work, read as persons who would need a permit.

    The residual method does so (docs/methods/residual.md, first assumption, in red), and nothing else may.
    """
    return Permits(balance.value)
