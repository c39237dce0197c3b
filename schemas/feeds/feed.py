"""What a feed is: a name, who sends it, the type of its records, and the orders between its dates."""

from dataclasses import dataclass

MAJOR = 1  # of the record contract; a new one is a new topic


@dataclass(frozen=True)
class Order:
    """Two dates of a record: `later` is not before `earlier`, and if `strict` not on it. A breach is reported at `later`."""

    earlier: str
    later: str
    strict: bool


@dataclass(frozen=True)
class Feed:
    """One feed of the contract. `record` is a pydantic TypedDict: fields in the order in which they are stored."""

    name: str
    sent_by: str
    record: type
    orders: tuple[Order, ...] = ()

    @property
    def topic(self) -> str:
        """The topic of its events, without a stack's prefix."""
        return f"events.{self.name}.v{MAJOR}"

    @property
    def schema_header(self) -> bytes:
        """The value of the header `schema` of each event."""
        return f"{self.name}/{MAJOR}".encode()
