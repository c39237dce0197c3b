"""What a run of real faults says of itself."""

import json
from pathlib import Path

import pytest

from tests.chaos.real import report
from tests.chaos.real.campaign import Outcome
from tests.chaos.real.run import Run, ended_by_itself
from tests.chaos.real.verdict import Finding, Verdict


def run(*findings: Finding) -> Run:
    outcomes = [
        Outcome("kill", "tally-work-permits", 7, 3.0, 15, ""),
        Outcome("kill", "tally-work-permits", 9, 5.0, 15, ""),
        Outcome("kill", "kafka", 3, 11.0, 45, ""),
        Outcome("zombie", "tally-border-crossings", 4, None, 30, "did not recover"),
    ]
    return Run(5, "full", outcomes, Verdict(list(findings), {"acknowledged": 12_345}, 41), ["a problem"], [], 2.0, 300.0)


def test_the_table_has_faults_services_findings_and_times() -> None:
    text = report.table(report.summary(run(Finding("lost", "x"), Finding("lost", "y"))))
    assert "Seed 5, full schedule, 300 s: **failed**." in text
    assert "| acknowledged | 12,345 |" in text
    assert "| **lost** | **2** |" in text
    assert "| **duplicated** | **0** |" in text
    assert "| kill -9: services | 2 | 8 | 4.0 s | 5.0 s | 15 s |" in text
    assert "| tally-work-permits | 2 | 8 | 4.0 s | 5.0 s | 15 s |" in text
    assert "| zombie | 1 | 4 | never | never | 30 s |" in text


def test_the_table_takes_its_place_in_the_document_and_leaves_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document, result = tmp_path / "guarantees.md", tmp_path / "chaos.json"
    monkeypatch.setattr(report, "DOCUMENT", document)
    monkeypatch.setattr(report, "RESULT", result)
    document.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", "utf-8")
    report.keep(report.summary(run()))
    report.write_table()
    text = document.read_text("utf-8")
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert report.table(json.loads(result.read_text("utf-8"))) in text


def test_a_process_that_ended_with_a_traceback_is_named_with_its_last_line(tmp_path: Path) -> None:
    traceback = 'Traceback (most recent call last):\n  File "a"\nAssertionError: no'
    (tmp_path / "tally-x.log").write_text(f'{{"level":"INFO"}}\n{traceback}\n{{"level":"INFO"}}\n')
    (tmp_path / "other.log").write_text('{"level":"WARNING","message":"SomeError: retried"}\n')
    assert ended_by_itself(tmp_path) == ["tally-x: AssertionError: no"]
