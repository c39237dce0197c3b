"""Every metric of every service, declared once. Dashboards and alerts may use only these; a test checks it."""

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

# Upper bounds in seconds. A request carries one record or 20,000; with the broker away an acknowledgement takes up to a minute.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

READY = Gauge("tolqyn_ready", "1 while the service can do its work, else 0", ["service"])
HTTP_MALFORMED = Counter(
    "tolqyn_http_malformed_total", "Requests that could not be read as HTTP, by status of the answer", ["status"]
)

# ingest
INGEST_RECORDS = Counter("tolqyn_ingest_records_total", "Records received, by outcome", ["feed", "status"])
INGEST_REJECTIONS = Counter("tolqyn_ingest_rejections_total", "Records rejected, by code", ["feed", "code"])
INGEST_REQUESTS = Counter("tolqyn_ingest_requests_total", "Submissions answered, by HTTP status", ["feed", "status"])
INGEST_REQUEST_SECONDS = Histogram(
    "tolqyn_ingest_request_seconds", "From the first byte of a submission to its answer", ["feed"], buckets=_SECONDS
)
INGEST_IN_FLIGHT_BYTES = Gauge("tolqyn_ingest_in_flight_bytes", "Unpacked bytes taken and not yet acknowledged", ["feed"])
CLOCK_SKEW = Gauge(
    "tolqyn_clock_skew_seconds",
    "How far the log's append times are ahead of the ingest service's clock (behind: below 0)",
    ["feed"],
)
INBOX_WAITING = Gauge("tolqyn_inbox_waiting_files", "Files in the inbox, with a manifest, neither taken nor refused yet", ["feed"])
INBOX_FILES = Counter("tolqyn_inbox_files_total", "Files of the inbox done with, by outcome: taken, refused", ["feed", "outcome"])
INBOX_READ_BYTES = Counter("tolqyn_inbox_read_bytes_total", "Bytes of files read: once to verify them, once to take them", ["feed"])
INBOX_FAILURES = Counter(
    "tolqyn_inbox_failures_total", "Times that a folder of the inbox could not be read, or one of the outbox not written", ["feed"]
)

# tally
TALLY_RECORDS = Counter(
    "tolqyn_tally_records_total",
    "Records folded, by effect: counted, duplicate, stale, conflict, unreadable",
    ["feed", "effect"],
)
TALLY_LAG = Gauge("tolqyn_tally_lag_records", "Records in the log not yet folded", ["feed", "partition"])
TALLY_UNREADABLE_SHARE = Gauge(
    "tolqyn_tally_unreadable_share", "Share of the last thousand or more records that could not be read", ["feed"]
)
TALLY_CUTS = Counter("tolqyn_tally_cuts_total", "Cuts marked in the ledger", ["feed"])
TALLY_CUT_SECONDS = Histogram(
    "tolqyn_tally_cut_seconds", "From the start of a cut to its mark: state, entries, mark", ["feed"], buckets=_SECONDS
)
TALLY_STATE_DISCARDED = Counter(
    "tolqyn_tally_state_discarded_total", "Times that saved state was torn or of another log and was folded again", ["feed"]
)
DEAD_LETTERS = Counter("tolqyn_dead_letters_total", "Records set aside, by reason", ["feed", "reason"])

# ledgers
LEDGER_ENTRIES = Counter("tolqyn_ledger_entries_total", "Entries written, tombstones included", ["topic"])
LEDGER_MARKS = Counter("tolqyn_ledger_marks_total", "Marks written", ["topic"])
LEDGER_REPAIRS = Counter("tolqyn_ledger_repairs_total", "Foreign entries written over by the owner", ["topic"])
LEDGER_ADOPTIONS = Counter("tolqyn_ledger_adoptions_total", "Sets adopted by a reader", ["topic"])
LEDGER_PENDING = Gauge("tolqyn_ledger_pending_entries", "Entries read after the last adopted mark", ["topic", "partition"])

# aggregates, estimates, publication
STAGE_CUTS = Counter("tolqyn_stage_cuts_total", "Cuts handed on by a stage", ["stage"])
STAGE_SECONDS = Histogram("tolqyn_stage_seconds", "Time of one cut in a stage", ["stage"], buckets=_SECONDS)
PUBLICATION = Gauge("tolqyn_publication_number", "Number of the newest publication")
PUBLICATION_TIME = Gauge("tolqyn_publication_timestamp_seconds", "Unix time at which the newest cut was published")
PUBLICATION_CHANGES = Counter("tolqyn_publication_changes_total", "Observations changed by publications")
PUBLICATION_LOG_TIME = Gauge(
    "tolqyn_publication_log_timestamp_seconds", "Unix time of the newest event that the published figures contain"
)
PUBLICATION_LOG_AHEAD = Gauge(
    "tolqyn_publication_log_ahead_seconds",
    "How far the log's time is ahead of the publisher's or the database's clock while a publication is held back for it, else 0",
)

# dissemination
PAGE_REQUESTS = Counter("tolqyn_page_requests_total", "Requests answered by dissemination", ["route", "status"])
PAGE_SECONDS = Histogram("tolqyn_page_seconds", "Time to answer a request", ["route"], buckets=_SECONDS)


def declared() -> set[str]:
    """Names of all metrics above as Prometheus sees them (histograms with their _bucket, _sum, _count series)."""
    names: set[str] = set()
    for metric in list(REGISTRY.collect()):
        if not metric.name.startswith("tolqyn_"):
            continue
        if metric.type == "histogram":
            names |= {metric.name + suffix for suffix in ("_bucket", "_sum", "_count")}
        else:
            names.add(metric.name + ("_total" if metric.type == "counter" else ""))
    return names
