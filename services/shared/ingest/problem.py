"""What is wrong with a submission as a whole: answered as `application/problem+json`, nothing of it taken."""


class Problem(Exception):
    """An HTTP status and a sentence for the sender, without any sent value. `retry_after_seconds` for 429 and 503."""

    def __init__(self, status: int, detail: str, retry_after_seconds: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.retry_after_seconds = status, detail, retry_after_seconds
