"""The feeds: `FEEDS[name]`, in the order of the contract."""

from schemas.feeds import (
    border_crossings,
    labour_emigration,
    migration_violations,
    reference_figures,
    residence_registrations,
    student_enrolments,
    visitor_stays,
    work_permits,
)
from schemas.feeds.feed import Feed

__all__ = ["FEEDS", "Feed"]

FEEDS: dict[str, Feed] = {
    feed.name: feed
    for feed in (
        border_crossings.FEED,
        work_permits.FEED,
        student_enrolments.FEED,
        residence_registrations.FEED,
        labour_emigration.FEED,
        visitor_stays.FEED,
        migration_violations.FEED,
        reference_figures.FEED,
    )
}
