"""A stage that cannot go on ends as a whole: a process that lives on without its follower would look well and publish nothing."""

import os
import subprocess
import sys

from services.shared.runtime.process.service import EXIT_CONFIGURATION
from services.shared.runtime.process.settings import Settings
from tools.stack.embedded.ports import free_port

END_SECONDS_MAX = 60  # it takes about four: imports, Faust's start, one question to the broker


def test_a_stage_whose_input_topics_do_not_exist_ends_with_one_clear_line(settings: Settings) -> None:
    env = {
        **os.environ,
        "TOLQYN_HOME": str(settings.home),
        "TOLQYN_PREFIX": settings.prefix,
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "TOLQYN_STATE_DIR": str(settings.state_dir),
        "TOLQYN_LISTEN_PORT": str(free_port()),
    }
    command = [sys.executable, "-P", "-m", "services.informality_estimates"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=END_SECONDS_MAX, check=False)
    assert done.returncode == EXIT_CONFIGURATION, done.stderr
    assert f"topic {settings.prefix}aggregates.quarterly.v1 does not exist" in done.stderr.splitlines()[-1]
