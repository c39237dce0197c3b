"""How fast a killed service is back is decided, more than by anything else, by what it loads at its start."""

import subprocess
import sys

MODULES = (
    "services.shared.ingest.service",
    "services.tally.worker",
    "services.quarterly_aggregates.app",
    "services.informality_estimates.app",
    "services.indicator_publisher.publisher",
    "services.dissemination.app",
)
HEAVY = ("scipy.optimize", "scipy.sparse", "scipy.stats", "duckdb")  # the first three alone: half a second or more and 60 MB


def test_no_service_loads_at_its_start_what_it_seldom_needs() -> None:
    program = f"import sys, {', '.join(MODULES)}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
