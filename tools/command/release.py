"""`tolqyn release`: ask the publisher for a release, and list those that were made."""

import argparse
import asyncio
from datetime import UTC, datetime, timedelta

from services.shared.runtime.postgres.release_store import Answer, ReleaseStore
from services.shared.runtime.process.errors import Failure, UsageError
from services.shared.runtime.process.release_dates import release_calendar
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.publication.release import KINDS, parse_name
from services.shared.statistics.terms import calendar
from tools.command.export import parse_instant
from tools.stack import local

# The publisher looks twice a second; to work out which inner cells to hide takes seconds, and a cut may be under way before.
ANSWER_SECONDS_MAX = 120.0
POLL_SECONDS = 0.1
NEXT_DAYS = 200  # of what the calendar has: the next release of each kind, and the one after it


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("release", help="freeze a release of a quarter's figures, or list them")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    freeze = actions.add_parser(
        "freeze",
        help="name and freeze the figures of a quarter as they stand",
        description="Asks the publisher to freeze the figures of a quarter (and with the fourth quarter those of its year) as they "
        "stand. Until its instant nothing of a release is visible. The calendar's releases are made without this command.",
    )
    freeze.add_argument("period", metavar="PERIOD", help="a quarter, written like 2025-Q2")
    freeze.add_argument("--final", action="store_true", help="a final release (else a provisional one)")
    freeze.add_argument("--at", metavar="INSTANT", help="make it public then, e.g. 2026-02-16T09:00:00+05:00 (else at once)")
    freeze.set_defaults(run=_freeze)
    listing = actions.add_parser("list", help="list the releases, and what the calendar has next")
    listing.add_argument("--embargoed", action="store_true", help="only those that are frozen and not public yet")
    listing.set_defaults(run=_list)


def _freeze(args: argparse.Namespace) -> int:
    try:
        calendar.parse_quarter(args.period)
    except ValueError as error:
        raise UsageError(str(error)) from None
    due = None if args.at is None else parse_instant(args.at, "--at takes an instant")
    print(asyncio.run(freeze(local.settings(), args.period, args.final, due)))
    return 0


async def freeze(settings: Settings, period: str, final: bool, due: datetime | None) -> str:
    """Have a release made, and say in one line what came of it. Raises Failure if none was."""
    async with ReleaseStore.of(settings) as store:
        number = await store.request(period, final, due)
        answer: Answer | None = None
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                while True:
                    answer = await store.answer(number)
                    if answer is not None and answer.release is None:
                        raise Failure(answer.outcome)
                    if answer is not None and (answer.publication is not None or due is not None):
                        break
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            if answer is None and await store.take_back(number):
                raise Failure(f"the publisher did not answer within {ANSWER_SECONDS_MAX:.0f} s: nothing was frozen") from None
            raise Failure(
                f"{answer.release if answer else 'a release'} is frozen, but not public after {ANSWER_SECONDS_MAX:.0f} s"
            ) from None
        assert answer is not None
        assert answer.release is not None
        if answer.publication is None:
            (frozen,) = [e for e in await store.embargoed() if e.name == answer.release]
            return (
                f"{frozen.name} is frozen from publication {frozen.frozen_from} with {frozen.figures:,} figures; "
                f"it is under embargo until {_time(frozen.due)}"
            )
        figures, _ = await store.release_figures(answer.release)
        hidden = sum(o.value is None for o in figures.values())
        return (
            f"{answer.release} is public as publication {answer.publication}: {len(figures):,} figures, {hidden:,} of them hidden"
        )


def _list(args: argparse.Namespace) -> int:
    settings = local.settings()
    lines = asyncio.run(_embargoed(settings) if args.embargoed else _public(settings))
    print("\n".join(lines))
    return 0


async def _embargoed(settings: Settings) -> list[str]:
    async with ReleaseStore.of(settings) as store:
        found = [
            f"{e.name}  frozen {_time(e.frozen_at)} from publication {e.frozen_from}, {e.figures:,} figures, "
            f"under embargo until {_time(e.due)}"
            for e in await store.embargoed()
        ]
    return found or ["no release is under embargo"]


async def _public(settings: Settings) -> list[str]:
    async with ReleaseStore.of(settings) as store:
        found = [
            f"{r.name}  {parse_name(r.name).title}: publication {r.publication}, due {_time(r.due)}, "
            f"figures of publication {r.frozen_from}"
            for r in await store.releases()
        ]
    now = datetime.now(UTC)
    coming = release_calendar(settings).between(now, now + timedelta(days=NEXT_DAYS))
    names = {final: kind for kind, final in KINDS.items()}
    return [
        *(found or ["no release has been made yet"]),
        "",
        "By the calendar, for quarters that have figures then:",
        *(f"  {_time(due.instant)}  {due.period} {names[due.final]}" for due in coming),
    ]


def _time(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
