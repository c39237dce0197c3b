"""A feed that is not there, file by file: what somebody writes who adds one. CONTRIBUTING.md lists the files, a test adds them.

`NEW` are whole files, `EDITS` lines to put into files that are there, `MADE` is what commands write.
"""

import json

NAME, PACKAGE = "asylum-applications", "asylum_applications"
GOOD = {"record_id": "mvd:1", "version": 1, "applied_on": "2025-04-02", "citizenship": "AF"}
BAD = {
    "future_time--applied-on": (GOOD | {"applied_on": "9998-01-01"}, "/applied_on"),
    "invalid_type--null": (GOOD | {"citizenship": None}, "/citizenship"),
    "invalid_value--citizenship": (GOOD | {"citizenship": "AFG"}, "/citizenship"),
    "missing_field--applied-on": ({k: v for k, v in GOOD.items() if k != "applied_on"}, "/applied_on"),
    "out_of_range--applied-on-before-2000": (GOOD | {"applied_on": "1999-12-31"}, "/applied_on"),
    "unknown_field--kind": (GOOD | {"kind": "new"}, "/kind"),
    "too_large--65-kib": (GOOD | {"citizenship": "9" * (65 << 10)}, ""),
}
LATE = "the ministry enters an application within three days"

_EXAMPLES = f"schemas/examples/{NAME}"
NEW = {
    f"schemas/feeds/{PACKAGE}.py": f'''"""Applications for asylum: one record is one application, a flow on its day."""

from typing import NotRequired

from pydantic import with_config

from schemas.feeds.feed import Feed
from schemas.feeds.fields import RECORD_CONFIG, Country, EventDay, Person, Record


@with_config(RECORD_CONFIG)
class AsylumApplication(Record):
    """One application."""

    applied_on: EventDay
    citizenship: Country
    person: NotRequired[Person]


FEED = Feed(name="{NAME}", sent_by="Ministry of Internal Affairs", record=AsylumApplication)
''',
    f"schemas/topics/events.{NAME}.v1.yaml": f"""name: events.{NAME}.v1
description: The log of applications for asylum. The only truth; kept for ever.
owner: {NAME}
producers: [{NAME}]
consumers: [tally-{NAME}]
key: "<agency>/<record_id>; partition = crc32(key) mod partitions"
value: "schemas/generated/{NAME}.event.schema.json; header schema = {NAME}/1"
partitions: 2
config:
  cleanup.policy: "delete"
  retention.ms: "-1"
  retention.bytes: "-1"
  message.timestamp.type: "LogAppendTime"
  max.message.bytes: "16777216"
""",
    f"schemas/topics/tallies.{NAME}.v1.yaml": f"""name: tallies.{NAME}.v1
description: "Day sheets of {NAME}. Ledger partition p is the fold of event partition p."
owner: tally-{NAME}
producers: [tally-{NAME}]
consumers: [quarterly-aggregates]
key: "<local day>, or mark"
value: "schemas/generated/sheet.schema.json"
partitions: 2
config:
  cleanup.policy: "compact"
  min.cleanable.dirty.ratio: "0.1"
  segment.ms: "3600000"
  message.timestamp.type: "LogAppendTime"
  max.message.bytes: "16777216"
""",
    f"{_EXAMPLES}/valid/minimal.json": json.dumps(GOOD),
    f"{_EXAMPLES}/invalid/malformed_json--not-json.json": "applied_on=2025-04-02",
    **{f"{_EXAMPLES}/invalid/{name}.json": json.dumps(record) for name, (record, _) in BAD.items()},
    f"{_EXAMPLES}/invalid/pointers.index": json.dumps(
        {"malformed_json--not-json": ""} | {name: pointer for name, (_, pointer) in BAD.items()}
    ),
    f"services/{PACKAGE}/__init__.py": "",
    f"services/{PACKAGE}/__main__.py": f'''"""The ingest service of this feed: see README.md beside this file."""

from schemas.feeds.{PACKAGE} import FEED
from services.shared.ingest.service import run_feed

if __name__ == "__main__":
    run_feed(FEED)
''',
    f"services/{PACKAGE}/README.md": f"# {NAME}\n\nTakes applications for asylum and appends them to the log.\n",
    f"services/shared/feeds/{PACKAGE}.py": f'''"""Applications for asylum: a flow by citizenship."""

from schemas.feeds.{PACKAGE} import FEED
from services.shared.feeds.feed import Effects, FeedRules, Flow, Late, Measure
from services.shared.feeds.reading import columns, is_country, on_day

RULES = FeedRules(
    contract=FEED,
    columns=columns(FEED.record, "applied_on", "citizenship"),
    spans=on_day("applied_on", "citizenship"),
    valid_cell=is_country,
    flows=(Flow("{PACKAGE}"),),
    measures=(Measure("{PACKAGE}", ("citizenship",)),),
    effects=lambda cell: Effects(flows=(("{PACKAGE}", cell),)),
    late=Late(3, "{LATE}"),
    headlines=("ASYLUM_APPLICATIONS",),
)
''',
    f"tools/verify/sql/{NAME}.sql": """CREATE OR REPLACE TEMP VIEW judged AS
WITH parsed AS (
    SELECT place, appended, key, problem, version_of(json_extract(value, '$.version')::VARCHAR) AS version,
        json_extract_string(value, ['$.action', '$.applied_on', '$.citizenship']) AS f
    FROM raw
), dated AS (SELECT *, real_day(f[2]) AS day FROM parsed)
SELECT place, appended, key, version, f[1] AS action, {'citizenship': f[3]} AS cell, day AS first, CAST(NULL AS DATE) AS last,
    verdict(problem, version, f[1], is_event_day(day) AND is_country(f[3])) AS problem
FROM dated;
""",
}
# What stands after which text.
EDITS: dict[str, list[tuple[str, str]]] = {
    "schemas/feeds/__init__.py": [
        ("from schemas.feeds import (\n", f"    {PACKAGE},\n"),
        ("        reference_figures.FEED,\n", f"        {PACKAGE}.FEED,\n"),
    ],
    "services/shared/feeds/catalogue.py": [
        ("from services.shared.feeds import (\n", f"    {PACKAGE},\n"),
        ("    reference_figures.RULES,\n", f"    {PACKAGE}.RULES,\n"),
    ],
    "services/dissemination/texts/feeds.yaml": [
        (
            "(in English as the feed's rules have it).\n",
            f'''{NAME}:
  name: {{en: "applications for asylum", ru: "ходатайства об убежище", kk: "баспана сұрау өтініштері"}}
  source: {{en: "applications, Ministry of Internal Affairs", ru: "ходатайства, МВД", kk: "өтініштер, ІІМ"}}
  late: {{en: "{LATE}", ru: "министерство вносит ходатайство за три дня", kk: "министрлік өтінішті үш күнде енгізеді"}}
''',
        )
    ],
    "docs/methods/quality.md": [
        ("| hosts report a guest within three working days |\n", f"| {NAME} | 3 | {LATE} |\n"),
    ],
    "tools/verify/recount.py": [
        ('    "reference-figures": "reference",\n', f'    "{NAME}": "application",\n'),
        ("FLOWS = {\n", f'    "{NAME}": "\'ASYLUM_APPLICATIONS\'",\n'),
    ],
    "tools/verify/sql/tables.sql": [
        ("alike in all that a figure depends on.\n", "CREATE TABLE application (citizenship VARCHAR, day DATE, n BIGINT);\n"),
    ],
    "docker-compose.yml": [
        (
            '    ports: ["127.0.0.1:8088:8080"]\n\n',
            f"""  {NAME}:
    <<: *ingest
    command: [services.{PACKAGE}]
    ports: ["127.0.0.1:8089:8080"]

  tally-{NAME}:
    <<: *service
    command: [services.tally]
    environment: {{<<: *environment, TOLQYN_FEED: {NAME}, TOLQYN_INSTANCE: tally-{NAME}}}
    volumes: ["tally-{NAME}:/var/lib/tolqyn/state"]

""",
        ),
        ("  outbox:\n", f"  tally-{NAME}:\n"),
    ],
    "deploy/prometheus/prometheus.yml": [
        ("          - tally-reference-figures:8080\n", f"          - {NAME}:8080\n          - tally-{NAME}:8080\n"),
    ],
}
# Written by `python -m schemas.generate` and `python -m schemas.picture`.
MADE = (f"schemas/generated/{NAME}.schema.json", f"schemas/generated/{NAME}.event.schema.json", "ARCHITECTURE.md")


def files() -> list[str]:
    """Every file that adding this feed touches."""
    return sorted([*NEW, *EDITS, *MADE])
