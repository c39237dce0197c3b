"""Verify on the stack that counted the sample: a figure altered by hand is found, by its key."""

import json
import os
import subprocess
import sys

import psycopg

from tests.end_to_end.conftest import Stack

KEY = ("A.PERMITS_ISSUED.CN._T._T._Z", "2024")


def altered(stack: Stack, by: int) -> None:
    with psycopg.connect(json.loads(stack.tolqyn("status", "--json"))["database_url"], autocommit=True) as connection:
        query = "update tolqyn.observation set value = value + %s where series = %s and period = %s and until is null"
        assert connection.execute(query, (by, *KEY)).rowcount == 1


def test_verify_passes_and_names_the_one_figure_that_somebody_altered(stack: Stack) -> None:
    rows = len(stack.export.splitlines()) - 1
    assert f"{rows} figures verified at publication " in stack.tolqyn("verify")
    altered(stack, 1)
    try:
        environment = {"PATH": os.environ["PATH"], "TOLQYN_HOME": str(stack.folder / "home"), "TOLQYN_PORT": str(stack.port)}
        done = subprocess.run(
            [sys.executable, "-P", "-m", "tools.command", "verify", KEY[1]],
            env=environment, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
    finally:
        altered(stack, -1)
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert line.startswith(":".join(KEY) + "  published OBS_VALUE=")
    assert "  recomputed OBS_VALUE=" in line
