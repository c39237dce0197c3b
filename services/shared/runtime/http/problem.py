"""What is wrong with a request, as RFC 9457 has it: the one home of `application/problem+json`."""

from http import HTTPStatus

import orjson

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """A status and a sentence for the caller: the cause and the rule, and nothing that was sent.

    `retry_after_seconds` for 429 and 503.
    """

    def __init__(self, status: int, detail: str, retry_after_seconds: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.retry_after_seconds = status, detail, retry_after_seconds


def body(status: int, detail: str, title: str = "") -> bytes:
    """The members of a problem. Without a title of its own it is the status's."""
    title = title or HTTPStatus(status).phrase
    return orjson.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})
