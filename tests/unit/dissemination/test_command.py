"""`tolqyn bulletin` prints the same bulletin as text."""

import argparse
import io
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from services.dissemination.bulletin import build
from services.dissemination.wording import LANGUAGES
from services.shared.runtime.process.errors import Failure, UsageError
from tools.command import bulletin as command


def printed(golden: Any, language: str, width: int = command.WIDTH_MIN) -> str:
    output = io.StringIO()
    command.print_bulletin(build(golden.snapshot(), "2025-Q2", language), Console(file=output, width=width, highlight=False))
    return output.getvalue().replace("\u00a0", " ")


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    return parser.parse_args(["bulletin", *words])


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_cut(golden: Any, language: str) -> None:
    text = printed(golden, language)
    assert max(cell_len(line) for line in text.splitlines()) <= command.WIDTH_MIN
    assert "…" not in text
    percent = "34.0 % (31.9–36.2)" if language == "en" else "34,0 % (31,9–36,2)"
    assert percent in text


def test_the_targets_are_printed_with_what_they_would_take(golden: Any) -> None:
    lines = [line.split() for line in printed(golden, "en").splitlines()]
    assert ["150,000", "by", "the", "end", "of", "2029"] in lines
    assert ["Missing", "118,500", "(persons)"] in lines


def test_computed_and_published_figures_stand_in_one_line_with_their_comparison(golden: Any) -> None:
    line = next(line for line in printed(golden, "en").splitlines() if line.startswith("Uzbekistan"))
    assert line.split() == ["Uzbekistan", "36.0", "%", "–", "36", "%", "equal", "P"]


def test_the_text_says_that_the_data_are_simulated_and_lists_assumptions(golden: Any) -> None:
    text = " ".join(printed(golden, "en").split())
    assert "labour emigration at 1:100 scale" in text
    assert "[medium] The share found by the newest survey holds until a newer one" in text


def test_russian_is_the_default_language() -> None:
    assert arguments("2025-Q2").lang == "ru"


def test_a_malformed_period_is_a_usage_error() -> None:
    args = arguments("2025-13")
    with pytest.raises(UsageError, match="2025-Q2"):
        args.run(args)


def test_without_a_database_the_command_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("TOLQYN_HOME", str(tmp_path))
    args = arguments("2025-Q2")
    with pytest.raises(Failure, match="tolqyn up"):
        args.run(args)
