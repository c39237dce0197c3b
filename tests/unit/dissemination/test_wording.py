"""All three languages say the same things, each by its own rules."""

from datetime import UTC, date, datetime
from string import Formatter
from typing import Any

import pytest

from schemas.feeds import FEEDS
from schemas.indicators import catalogue, parse_statements
from services.dissemination.wording import LANGUAGES, quarters_before, wording
from services.shared.statistics.estimation import frequencies, informality, nowcast, open_quarter
from services.shared.statistics.estimation.estimate import Absent

NO_BREAK_SPACE = "\u00a0"


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_every_text_exists_in_all_three_languages() -> None:
    keys = {language: wording(language).known for language in LANGUAGES}
    assert keys["ru"] == keys["kk"] == keys["en"]


def test_translations_keep_the_places_of_the_figures() -> None:
    for key in wording("en").known:
        if key in ("quarter", "quarter_short"):
            continue  # each language counts quarters its own way
        places = {language: placeholders(wording(language)(key)) for language in LANGUAGES}
        assert places["ru"] == places["kk"] == places["en"], key


def test_the_english_texts_hold_no_cyrillic_letter() -> None:
    assert not [key for key in wording("en").known if any("а" <= letter.lower() <= "я" for letter in wording("en")(key))]


def test_every_country_of_the_feeds_has_a_name_in_every_language() -> None:
    from schemas.feeds.codes import COUNTRIES

    for language in LANGUAGES:
        assert [code for code in COUNTRIES if wording(language).area(code) == code] == []


def test_every_source_unit_and_indicator_of_the_catalogue_is_worded() -> None:
    for language in LANGUAGES:
        words = wording(language)
        for indicator in catalogue().values():
            assert words.has(f"units.{indicator.unit}"), indicator.unit
            assert not indicator.source or words.has(f"sources.{indicator.source}"), indicator.source
            assert not indicator.note or words.has(f"article_notes.{indicator.note}"), indicator.note


TABLES: list[dict[int, int]] = [{}, {1: 1}, {1: 5}, {2: 5}, {1: 3, 3: 1}]  # that cannot carry one estimate or another


def test_every_assumption_and_reason_of_the_estimates_is_translated() -> None:
    of_frequencies = [assumption for assumptions in frequencies.ASSUMPTIONS.values() for assumption in assumptions]
    assumptions = (*informality._BENCHMARK_ASSUMPTIONS, *informality._RESIDUAL_ASSUMPTIONS, *of_frequencies)
    reasons = [
        "no reference stock of migrant workers is published",
        informality_reason(),
        *{result.reason for table in TABLES for f in frequencies.METHODS.values() if isinstance(result := f(table), Absent)},
    ]
    assert len(reasons) == 6
    reasons += [open_quarter.NO_HISTORY, nowcast.TOO_SHORT, nowcast.TOO_LITTLE]
    for language in LANGUAGES:
        for sentence in [text for text, _ in (*assumptions, *open_quarter.ASSUMPTIONS)] + reasons:
            assert wording(language).translated(sentence)[1] is False, sentence


def informality_reason() -> str:
    """The reason that the estimating service gives for a residual that is not above 0."""
    entries: dict[str, Any] = {
        "a": {"measure": "employment_crossings", "period": "2025-Q2", "citizenship": "UZ", "value": 3},
        "b": {"measure": "permits_in_force", "period": "2025-Q2", "citizenship": "UZ", "value": 20},
    }
    april = int(datetime(2025, 4, 2, tzinfo=UTC).timestamp() * 1000)
    found: dict[str, Any] = informality.estimates(entries, april)
    return str(found["RESIDUAL|2025-Q2|INFORMAL_WORKERS"]["reason"])


@pytest.mark.parametrize(
    ("language", "number", "percent"),
    [("ru", "4 370 000", "−0,3 %"), ("kk", "4 370 000", "−0,3 %"), ("en", "4,370,000", "−0.3 %")],
)
def test_numbers_are_written_by_the_rules_of_the_language(language: str, number: str, percent: str) -> None:
    words = wording(language)
    assert words.number(4_370_000, 0) == number.replace(" ", NO_BREAK_SPACE)
    assert words.amount(-0.31, 1, "percent") == percent.replace(" ", NO_BREAK_SPACE)


def test_a_change_carries_its_sign_and_zero_carries_none() -> None:
    words = wording("ru")
    assert words.number(42, 1, sign=True) == "+42,0"
    assert words.number(-0.04, 1, sign=True) == "0,0"


def test_periods_and_moments_are_named_in_each_language() -> None:
    names = [wording(language).period("2025-Q2") for language in LANGUAGES]
    assert names == ["II квартал 2025 года", "2025 жылғы II тоқсан", "second quarter of 2025"]
    assert wording("ru").period("2024/25") == "2024/25 учебный год"
    assert wording("en").day(date(2025, 6, 30)).replace(NO_BREAK_SPACE, " ") == "30 June 2025"
    late = datetime(2025, 6, 30, 19, 30, tzinfo=UTC)
    assert "1\u00a0июля\u00a02025" in wording("ru").time(late), "Astana time, not UTC"


def test_quarters_are_counted_over_the_turn_of_the_year() -> None:
    assert quarters_before("2025-Q1", 1) == "2024-Q4"
    assert quarters_before("2025-Q2", 4) == "2024-Q2"


def test_statements_outside_the_grammar_are_refused() -> None:
    with pytest.raises(ValueError, match="not a statement"):
        parse_statements("UZ about 12", "2025", "somebody")


def test_a_statement_may_carry_a_code_a_step_and_a_period_of_its_own() -> None:
    first, second = parse_statements("UZ 36; about 13000 to 1000 @2024-Q2", "2025-Q2", "somebody")
    assert (first.code, first.value, first.step, first.about, first.period) == ("UZ", 36, 1, False, "2025-Q2")
    assert (second.code, second.value, second.step, second.about, second.period) == ("", 13000, 1000, True, "2024-Q2")


def test_the_cut_can_name_every_feed() -> None:
    for language in LANGUAGES:
        assert [feed for feed in FEEDS if not wording(language).has(f"feed_names.{feed}")] == []
