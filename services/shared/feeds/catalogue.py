"""All feeds' rules: `RULES[name]`, in the order of the contract."""

from schemas.feeds import FEEDS
from services.shared.feeds import (
    border_crossings,
    labour_emigration,
    migration_violations,
    reference_figures,
    residence_registrations,
    student_enrolments,
    visitor_stays,
    work_permits,
)
from services.shared.feeds.feed import FeedRules

_ROOMS = (
    border_crossings.RULES,
    work_permits.RULES,
    student_enrolments.RULES,
    residence_registrations.RULES,
    labour_emigration.RULES,
    visitor_stays.RULES,
    migration_violations.RULES,
    reference_figures.RULES,
)
RULES: dict[str, FeedRules] = {rules.feed: rules for rules in _ROOMS}
assert list(RULES) == list(FEEDS), "a feed of the contract that nobody counts"
