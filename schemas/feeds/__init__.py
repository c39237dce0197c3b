"""The feeds: `FEEDS[name]`, in the order of the contract."""

from schemas.feeds import border_crossings, reference_figures, student_enrolments, work_permits
from schemas.feeds.feed import Feed

__all__ = ["FEEDS", "Feed"]

FEEDS: dict[str, Feed] = {
    feed.name: feed for feed in (border_crossings.FEED, work_permits.FEED, student_enrolments.FEED, reference_figures.FEED)
}
