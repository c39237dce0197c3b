"""What is wrong with a query, as HTTP says it."""


class Problem(Exception):
    """A status and a sentence for the caller: which parameter, which rule it breaks. Sent as `application/problem+json`."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


def bad(parameter: str, rule: str) -> Problem:
    """A query that is not as SDMX REST says: 400."""
    return Problem(400, f"{parameter}: {rule}")
