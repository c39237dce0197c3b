"""What crossings and changes of residence share: a movement in or out, of a citizen of some country, from or to another."""

from collections.abc import Callable

from schemas.feeds.fields import codes
from services.shared.feeds.reading import is_country

FIELDS = ("direction", "citizenship", "counterpart", "purpose")


def valid_movement(record: type) -> Callable[[str], bool]:
    """Whether a cell's text is one that the record type allows."""
    directions, purposes = frozenset(codes(record, "direction")), frozenset(codes(record, "purpose"))

    def valid(cell: str) -> bool:
        if cell.count("|") != len(FIELDS) - 1:
            return False
        direction, citizenship, counterpart, purpose = cell.split("|")
        return direction in directions and is_country(citizenship) and is_country(counterpart) and purpose in purposes

    return valid
