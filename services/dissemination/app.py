"""The web side of dissemination: bulletin pages, their style sheet, and answers when there is nothing to show.

Every page is a function of (publication, period, language), so its ETag is too: an unchanged page costs a comparison.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

from aiohttp import web

from services.dissemination import bulletin, figure, methods, page, quality
from services.dissemination.figures import Key
from services.dissemination.wording import LANGUAGE_DEFAULT, LANGUAGES, parse_period, wording
from services.shared.runtime.http import problem
from services.shared.runtime.process import metrics
from services.shared.runtime.process.errors import Unavailable

if TYPE_CHECKING:
    from services.shared.runtime.postgres.store import Snapshot
    from services.shared.runtime.postgres.vintages import Vintage

SECURITY_HEADERS = {
    # No scripts at all, nothing from elsewhere, in nobody's frame.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PAGE_CACHE = "public, max-age=0, must-revalidate"  # publication is continuous: ask each time, the ETag makes it cheap
STATIC_CACHE = "public, max-age=31536000, immutable"  # addressed with the edition, so a new edition is a new address
STATIC_CACHE_UNADDRESSED = "public, max-age=300"
RETRY_AFTER_SECONDS = 5  # a database restarts within seconds
SNAPSHOT_SECONDS = 1.0  # a burst of requests shares one look at the database
HISTORIES_AT_ONCE_MAX = 4  # reads of one figure's vintages: each a connection, and PostgreSQL has a hundred for everybody
PAGES_CACHED_MAX = 64  # three languages of some twenty quarters, each about 60 kB

Reader = Callable[[], Awaitable["Snapshot | None"]]
History = Callable[[str, str, int], Awaitable[Sequence["Vintage"]]]


def tag(snapshot: Snapshot, *parts: str) -> str:
    """Names all that a page of this snapshot depends on. The time keeps apart two databases that count alike; the cut may move on
    without changing a figure."""
    said = repr((snapshot.publication, snapshot.published_at, snapshot.cut)).encode()
    return "-".join((str(snapshot.publication), blake2b(said, digest_size=6).hexdigest(), *parts, page.edition()))


class Pages:
    """Bulletins of the newest snapshot, rendered once each, and pages of its figures.

    `read` gives the newest snapshot, `history` the vintages of (series, period) up to a publication, the newest first; both raise
    Unavailable while the database does not answer. `on_state` is told, at each look, an empty string or why pages cannot be
    served.
    """

    def __init__(self, read: Reader, history: History, on_state: Callable[[str], None]) -> None:
        self._read = read
        self._history = history
        self._on_state = on_state
        self._histories = asyncio.Semaphore(HISTORIES_AT_ONCE_MAX)
        self._lock = asyncio.Lock()
        self._snapshot: Snapshot | None = None
        self._failure: Unavailable | None = None
        self._looked_at = float("-inf")
        self._rendered: dict[tuple[str, str, str], bytes] = {}

    async def snapshot(self) -> Snapshot | None:
        """The newest snapshot, at most SNAPSHOT_SECONDS old; None before the first publication. Raises Unavailable."""
        async with self._lock:
            if time.monotonic() - self._looked_at >= SNAPSHOT_SECONDS:
                await self._look()
            if self._failure is not None:
                raise self._failure
            return self._snapshot

    async def _look(self) -> None:
        try:
            found, self._failure = await self._read(), None
        except Unavailable as error:
            found, self._failure = None, error
        if found is None or self._snapshot is None or tag(found) != tag(self._snapshot):
            self._rendered.clear()
        self._snapshot, self._looked_at = found, time.monotonic()
        self._on_state("" if self._failure is None else "the database does not answer")

    async def bulletin(self, snapshot: Snapshot, period: str, language: str, path: str) -> bytes:
        """The page of a quarter that has data."""
        key = (period, language, path)
        if key not in self._rendered:
            # Half a second of computing at full size: not on the loop that answers health checks.
            body = await asyncio.to_thread(lambda: page.render_bulletin(bulletin.build(snapshot, period, language), path))
            if len(self._rendered) >= PAGES_CACHED_MAX:
                self._rendered.clear()
            if snapshot is not self._snapshot:
                return body.encode()
            self._rendered[key] = body.encode()
        return self._rendered[key]

    async def figure(self, snapshot: Snapshot, key: Key, period: str, language: str, path: str) -> bytes | None:
        """The page of a figure; None for one that was never published. Raises Unavailable."""
        async with self._histories:
            vintages = await self._history(key.series, period, snapshot.publication)
        if not figure.is_known(snapshot, key, period, vintages):
            return None
        return page.render_figure(figure.build(snapshot, key, period, vintages, language), path).encode()


PAGES = web.AppKey("pages", Pages)


def add_routes(app: web.Application, pages: Pages) -> None:
    """Serve `pages` from `app`."""
    app[PAGES] = pages
    app.middlewares.append(_answer)
    app.router.add_get("/", _newest)
    app.router.add_get("/bulletin/{period}", _period)
    app.router.add_get("/quality/{period}", _quality)
    app.router.add_get("/figure/{key}", _figure)
    app.router.add_get("/methods", _methods)
    app.router.add_get("/methods/{name}", _method)
    app.router.add_get("/static/{name}", _static)


def _language(request: web.Request) -> str:
    """`?lang=`, Russian by default; the browser's own languages do not count (the contract says ru)."""
    language = request.query.get("lang", LANGUAGE_DEFAULT)
    return language if language in LANGUAGES else LANGUAGE_DEFAULT


async def _newest(request: web.Request) -> web.Response:
    snapshot = await request.app[PAGES].snapshot()
    periods = bulletin.periods(snapshot) if snapshot is not None else ()
    if snapshot is None or not periods:
        body = page.render_message(_language(request), request.path, "empty")
        return web.Response(text=body, content_type="text/html", headers={"Cache-Control": "no-store"})
    return await _page(request, snapshot, periods[0])


async def _period(request: web.Request) -> web.Response:
    period = request.match_info["period"]
    try:
        parse_period(period)
    except ValueError:
        raise web.HTTPNotFound from None
    snapshot = await request.app[PAGES].snapshot()
    if snapshot is None or not bulletin.has_data(snapshot, period):
        others = bulletin.periods(snapshot) if snapshot is not None else ()
        return _message(request, 404, "period", periods=others, period=period)
    return await _page(request, snapshot, period)


async def _page(request: web.Request, snapshot: Snapshot, period: str) -> web.Response:
    async def render(language: str) -> bytes:
        return await request.app[PAGES].bulletin(snapshot, period, language, request.path)

    return await _answered(request, lambda language: tag(snapshot, period, language), render)


async def _quality(request: web.Request) -> web.Response:
    period = request.match_info["period"]
    try:
        parse_period(period)
    except ValueError:
        raise web.HTTPNotFound from None
    snapshot = await request.app[PAGES].snapshot()
    if snapshot is None or not quality.has_report(snapshot, period):
        return _message(request, 404, "quality", period=period)

    async def render(language: str) -> bytes:
        return page.render_quality(quality.build(snapshot, period, language), request.path).encode()

    return await _answered(request, lambda language: tag(snapshot, "quality", period, language), render)


async def _figure(request: web.Request) -> web.Response:
    try:
        key, period = figure.parse_key(request.match_info["key"])
    except ValueError:
        raise web.HTTPNotFound from None
    snapshot = await request.app[PAGES].snapshot()
    if snapshot is None:
        return _message(request, 404, "figure")

    async def render(language: str) -> bytes | None:
        return await request.app[PAGES].figure(snapshot, key, period, language, request.path)

    return await _answered(request, lambda language: tag(snapshot, key.series, period, language), render)


async def _methods(request: web.Request) -> web.Response:
    async def render(language: str) -> bytes:
        return page.render_methods(language, request.path).encode()

    return await _answered(request, lambda language: f"{language}-{page.edition()}", render)


async def _method(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in methods.sources():
        raise web.HTTPNotFound

    async def render(language: str) -> bytes:
        return page.render_method(name, language, request.path).encode()

    return await _answered(request, lambda language: f"{language}-{page.edition()}", render)


async def _answered(
    request: web.Request, name: Callable[[str], str], render: Callable[[str], Awaitable[bytes | None]]
) -> web.Response:
    """A page in the language that was asked for, or 304 if it still is `name`; 404 where `render` finds nothing to say."""
    if request.query.get("lang", LANGUAGE_DEFAULT) not in LANGUAGES:
        return _message(request, 400, "language")
    language = _language(request)
    called = name(language)
    headers = {"Cache-Control": PAGE_CACHE, "ETag": f'"{called}"', "Content-Language": language}
    if any(known.value == called for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    body = await render(language)
    if body is None:
        return _message(request, 404, "figure")
    if any(known.value == "*" for known in request.if_none_match or ()):  # whatever there is: but there must be something
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type="text/html", charset="utf-8", headers=headers)


async def _static(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in page.STATIC:
        raise web.HTTPNotFound
    cache = STATIC_CACHE if request.query.get("v") == page.edition() else STATIC_CACHE_UNADDRESSED
    headers = {"Cache-Control": cache, "ETag": f'"{page.edition()}"'}
    if any(known.value == page.edition() for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=page.static(name), content_type=page.STATIC[name], charset="utf-8", headers=headers)


def _wants_json(request: web.Request) -> bool:
    accept = request.headers.get("Accept", "")
    return re.search(r"application/([a-z.-]+\+)?json", accept) is not None and "text/html" not in accept


def _message(request: web.Request, status: int, key: str, periods: tuple[str, ...] = (), period: str = "") -> web.Response:
    """A page that says what is not there, or the same as application/problem+json for programs that ask for JSON."""
    headers = {"Cache-Control": "no-store"}
    if status == web.HTTPServiceUnavailable.status_code:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if _wants_json(request):
        words = wording("en")
        title = words(f"pages.{key}_heading", period=words.period(period)) if period else words(f"pages.{key}_heading")
        said = problem.body(status, words(f"pages.{key}"), title)
        return web.Response(status=status, body=said, content_type=problem.MEDIA_TYPE, headers=headers)
    body = page.render_message(_language(request), request.path, key, periods, period)
    return web.Response(status=status, text=body, content_type="text/html", headers=headers)


@web.middleware
async def _answer(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    """Word the errors, measure, and set the headers that every answer carries."""
    started = time.monotonic()
    response: web.StreamResponse
    try:
        response = await handler(request)
    except web.HTTPNotFound:
        response = _message(request, 404, "not_found")
    except web.HTTPMethodNotAllowed as error:
        response = _message(request, 405, "method")
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
    except Unavailable:
        response = _message(request, 503, "unavailable")
    resource = request.match_info.route.resource
    # Addresses that match nothing share one label: a scanner must not make a million series.
    route = resource.canonical if resource is not None else "unmatched"
    metrics.PAGE_REQUESTS.labels(route, str(response.status)).inc()
    metrics.PAGE_SECONDS.labels(route).observe(time.monotonic() - started)
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    return response
