"""SDMX REST v2 over HTTP: data, structure and availability queries.

An answer is a function of (publication, query, format, language), so its ETag is too. Errors are `application/problem+json`.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import blake2b
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from schemas.sdmx import structure_json
from schemas.sdmx.structures import AGENCY, FLOW, LANGUAGES, VERSION, Artefact, structures
from services.dissemination.sdmx import (
    availability,
    data_csv,
    data_json,
    data_xml,
    datasets,
    negotiate,
    structure_query,
    structure_xml,
)
from services.dissemination.sdmx.availability import parse_availability_query
from services.dissemination.sdmx.message import Message
from services.dissemination.sdmx.query import parse_data_query
from services.dissemination.sdmx.structure_query import parse_structure_query
from services.shared.runtime.http.problem import Problem
from services.shared.runtime.http.server import problem_response
from services.shared.runtime.process.errors import Unavailable

if TYPE_CHECKING:
    from services.dissemination.sdmx.archive import Archive
    from services.shared.runtime.postgres.store import Snapshot

ROOT = "/sdmx/v2"
OURS = f"dataflow/{AGENCY}/{FLOW}/{VERSION}"
URL_CHARACTERS_MAX = 8_000  # the server takes 8,190, and cannot say what to do about a longer one
ANSWERS_AT_ONCE_MAX = 2  # the largest takes four seconds and a hundred megabytes to write, a few series a moment
PACKED_BYTES_MIN = 1_000  # less than a network packet is not worth packing
PACKING_LEVEL = 6  # zlib's own choice between size and time
RETRY_AFTER_SECONDS = 5  # a database restarts within seconds
CACHE = "public, max-age=0, must-revalidate"  # publication is continuous: ask each time, the ETag makes it cheap
VARY = "Accept, Accept-Encoding, Accept-Language"
EDITION = "1"  # part of every ETag: raise it when the same figures are written in another way

Newest = Callable[[], Awaitable["Snapshot | None"]]
Handler = Callable[[web.Request], Awaitable[web.Response]]


class Service:
    """What the handlers share: `newest` gives the newest snapshot, `archive` what was before."""

    def __init__(self, newest: Newest, archive: Archive) -> None:
        self.newest, self.archive = newest, archive
        self.answers = asyncio.Semaphore(ANSWERS_AT_ONCE_MAX)

    async def snapshot(self, as_of: datetime | None) -> Snapshot:
        """What is published now, or was at a moment. Raises Problem 404 if nothing was."""
        found = await self.newest()
        if found is not None and as_of is not None and as_of < found.published_at:
            found = await self.archive.at(as_of)
        if found is None:
            raise Problem(404, "nothing was published" + (" yet" if as_of is None else " at that moment"))
        return found


SERVICE = web.AppKey("sdmx", Service)


def add_routes(app: web.Application, service: Service) -> None:
    """Serve SDMX REST from `app`."""
    app[SERVICE] = service
    for resource, handler in (("data", _data), ("structure", _structure), ("availability", _availability)):
        app.router.add_route("*", f"{ROOT}/{resource}{{rest:(/.*)?}}", _guarded(handler))
    app.router.add_route("*", ROOT + "/{rest:.*}", _guarded(_not_offered))


def _guarded(handler: Handler) -> Handler:
    """Words the errors of a handler; answers GET and HEAD only."""

    async def guarded(request: web.Request) -> web.Response:
        try:
            if request.method not in ("GET", "HEAD"):
                raise Problem(405, "this service is read only: GET or HEAD")
            if len(request.raw_path) > URL_CHARACTERS_MAX:
                raise Problem(414, f"an address has at most {URL_CHARACTERS_MAX} characters: ask in several queries")
            response = await handler(request)
        except Problem as problem:
            response = _problem(problem)
        except Unavailable:
            response = _problem(Problem(503, "the database does not answer; try again in a few seconds", RETRY_AFTER_SECONDS))
        response.headers["Vary"] = VARY
        # Official statistics are for everybody, in a page of anybody's too.
        response.headers["Access-Control-Allow-Origin"] = "*"
        return response

    return guarded


def _problem(problem: Problem) -> web.Response:
    response = problem_response(problem)
    response.headers["Cache-Control"] = "no-store"
    if problem.status == web.HTTPMethodNotAllowed.status_code:
        response.headers["Allow"] = "GET, HEAD"
    return response


async def _not_offered(request: web.Request) -> web.Response:
    resource = request.match_info["rest"].partition("/")[0]
    if resource in ("metadata", "schema", "registration"):
        raise Problem(501, f"{resource}: not offered; there are data, structure, availability")
    raise Problem(404, "there are data, structure, availability")


def _after_resource(request: web.Request) -> str:
    """The raw path after the resource's name: /sdmx/v2/data/..."""
    return [*request.rel_url.raw_path.split("/", 4), ""][4]


def _languages(request: web.Request) -> str:
    return negotiate.choose_language(request.headers.get("Accept-Language", ""))


async def _data(request: web.Request) -> web.Response:
    service = request.app[SERVICE]
    query = parse_data_query(_after_resource(request), request.rel_url.raw_query_string)
    choice = negotiate.choose_format(request.headers.get("Accept", ""), negotiate.DATA)
    language = _languages(request)
    if not query.there:
        raise Problem(404, f"no such data: there are those of {OURS}")
    snapshot = await service.snapshot(query.as_of)
    name = _name(request, snapshot, choice.content_type, language)

    async def body() -> bytes:
        data_sets = await datasets.select(service.archive, snapshot, query)
        message = Message(_identity(name), snapshot.published_at, language, query, data_sets)
        if choice.kind == negotiate.CSV:
            return await asyncio.to_thread(data_csv.write, message, choice.labels, choice.keys)
        return await asyncio.to_thread(data_xml.write if choice.kind == negotiate.XML else data_json.write, message)

    return await _answered(request, name, snapshot.published_at, _content(choice, language), body)


async def _structure(request: web.Request) -> web.Response:
    query = parse_structure_query(_after_resource(request), request.rel_url.raw_query_string)
    choice = negotiate.choose_format(request.headers.get("Accept", ""), negotiate.STRUCTURE)
    language = _languages(request)
    artefacts = structure_query.select(query, structures())
    if not artefacts:
        raise Problem(
            404, f"no such structure: there are dataflow, datastructure, conceptscheme and codelist of {AGENCY}, {VERSION}"
        )
    # Structures change with the code that carries them, not with publications.
    name = _name(request, None, repr(artefacts), choice.content_type, language)

    async def body() -> bytes:
        return await asyncio.to_thread(_written, choice, language, name, datetime.now(UTC), artefacts)

    return await _answered(request, name, None, _content(choice, language), body)


async def _availability(request: web.Request) -> web.Response:
    service = request.app[SERVICE]
    query = parse_availability_query(_after_resource(request), request.rel_url.raw_query_string)
    choice = negotiate.choose_format(request.headers.get("Accept", ""), negotiate.STRUCTURE)
    language = _languages(request)
    if not query.there:
        raise Problem(404, f"no such data: there are those of {OURS}")
    snapshot = await service.snapshot(query.as_of)
    name = _name(request, snapshot, choice.content_type, language)

    async def body() -> bytes:
        found = await asyncio.to_thread(availability.find, query, snapshot.observations.values(), structures())
        if found is None:
            raise Problem(404, "no data: nothing that is published fits the query")
        artefacts = [(one, False) for one in (found, *availability.referred(query, found, structures()))]
        return await asyncio.to_thread(_written, choice, language, name, snapshot.published_at, artefacts)

    return await _answered(request, name, snapshot.published_at, _content(choice, language), body)


def _written(
    choice: negotiate.Choice, language: str, name: str, prepared: datetime, artefacts: Sequence[tuple[Artefact, bool]]
) -> bytes:
    """A structure message."""
    if choice.kind == negotiate.XML:
        return structure_xml.write(artefacts, _identity(name), prepared)
    languages = [language, *(one for one in LANGUAGES if one != language)]
    meta = data_json.header(structure_json.SCHEMA, _identity(name), prepared, languages)
    return orjson.dumps({"meta": meta, "data": structure_json.contents(artefacts, language)})


def _content(choice: negotiate.Choice, language: str) -> dict[str, str]:
    return {"Content-Type": choice.content_type, "Content-Language": language}


def _identity(name: str) -> str:
    """What a message calls itself: an id of SDMX begins with a letter."""
    return f"{FLOW}-{name}"


def _name(request: web.Request, snapshot: Snapshot | None, *parts: str) -> str:
    """Names all that an answer depends on. The time keeps apart two databases that count alike."""
    published = () if snapshot is None else (snapshot.publication, snapshot.published_at)
    said = (EDITION, *published, request.raw_path, *parts)
    return blake2b(repr(said).encode(), digest_size=9).hexdigest()


async def _answered(
    request: web.Request, name: str, changed_at: datetime | None, headers: dict[str, str], body: Callable[[], Awaitable[bytes]]
) -> web.Response:
    """The body, or 304 if the caller has it, packed if the caller can unpack it."""
    headers |= {"Cache-Control": CACHE, "ETag": f'W/"{name}"'}  # weak: the same answer, packed or not
    known = {tag.value for tag in request.if_none_match or ()}
    modified = None if changed_at is None else changed_at.replace(microsecond=0)
    # Dates of HTTP count seconds: before this one is over, another publication may still fall into it.
    if modified is not None and datetime.now(UTC) - modified > timedelta(seconds=1):
        headers["Last-Modified"] = format_datetime(modified, usegmt=True)
        since = request.if_modified_since
        if not known and since is not None and modified <= since:
            return web.Response(status=304, headers=headers)
    if name in known:
        return web.Response(status=304, headers=headers)
    service = request.app[SERVICE]
    async with service.answers:
        made = await body()
        if "*" in known:  # whatever there is: but there must be something
            return web.Response(status=304, headers=headers)
        if len(made) >= PACKED_BYTES_MIN and _takes_gzip(request.headers.get("Accept-Encoding", "")):
            made = await asyncio.to_thread(gzip.compress, made, PACKING_LEVEL, mtime=0)
            headers["Content-Encoding"] = "gzip"
    return web.Response(body=made, headers=headers)


def _takes_gzip(header: str) -> bool:
    for item in header.lower().split(","):
        coding, *parameters = (part.strip() for part in item.split(";"))
        if coding in ("gzip", "*"):
            return not any(part.replace(" ", "") in ("q=0", "q=0.0", "q=0.00", "q=0.000") for part in parameters)
    return False
