"""Countries and the groups that figures are given for."""

CIS = frozenset(["AM", "AZ", "BY", "KG", "MD", "RU", "TJ", "TM", "UZ"])
EAEU = frozenset(["AM", "BY", "KG", "RU"])
HOME = "KZ"
UNKNOWN = "XX"
_NOT_FAR = CIS | {"GE", "UA", UNKNOWN, HOME}

GROUPS = ("CIS", "EAEU", "FAR_ABROAD")


def groups_of(country: str) -> tuple[str, ...]:
    """The groups that a country (alpha-2 or XX) belongs to."""
    if country in EAEU:
        return ("CIS", "EAEU")
    if country in CIS:
        return ("CIS",)
    return () if country in _NOT_FAR else ("FAR_ABROAD",)
