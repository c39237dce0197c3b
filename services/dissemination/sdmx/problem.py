"""What is wrong with an SDMX query."""

from services.shared.runtime.http.problem import Problem


def bad(parameter: str, rule: str) -> Problem:
    """A query that is not as SDMX REST says: 400, naming the parameter and the rule that it breaks."""
    return Problem(400, f"{parameter}: {rule}")
