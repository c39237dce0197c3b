"""The ingest service of this feed: see README.md beside this file."""

from schemas.feeds.migration_violations import FEED
from services.shared.ingest.service import run_feed

if __name__ == "__main__":
    run_feed(FEED)
