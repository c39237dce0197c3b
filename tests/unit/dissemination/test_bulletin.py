"""The bulletin says what the snapshot says, beside what the catalogue says, and never one for the other."""

import re
from typing import Any

import pytest

from schemas.indicators import catalogue
from services.dissemination import bulletin as bulletins
from services.dissemination.bulletin import build
from services.dissemination.charts import Columns, Intervals, Lines
from services.dissemination.figures import Row
from services.dissemination.layout import Bulletin, Table
from services.shared.runtime.postgres.store import Snapshot

Golden = Any  # the draft of conftest.py


def tables(bulletin: Bulletin) -> dict[str, Table]:
    return {part.key: part for section in bulletin.sections for part in section.parts if isinstance(part, Table)}


def row(bulletin: Bulletin, table: str, label: str) -> Row:
    found = [r for r in tables(bulletin)[table].rows if r.label == label]
    assert len(found) == 1, f"{label!r} is not one row of {[r.label for r in tables(bulletin)[table].rows]}"
    return found[0]


def english(snapshot: Snapshot, period: str = "2025-Q2") -> Bulletin:
    return build(snapshot, period, "en")


def test_a_figure_of_the_sample_is_compared_at_full_size_and_it_is_said_so(golden: Golden) -> None:
    arrivals = row(english(golden.snapshot()), "crossings", "Arrivals of foreign citizens")
    assert (arrivals.computed, arrivals.published) == ("43,700", "4,370,000")
    assert arrivals.agreement == "equal"
    assert arrivals.agreement_text == "equal at 1:100 scale"
    assert arrivals.note == "× 100 = 4,370,000"


def test_without_a_sample_counts_are_compared_as_they_are(golden: Golden) -> None:
    golden.references = [r for r in golden.references if r["figure"] != "SIMULATION_SCALE"]
    golden.put("ARRIVALS", 4_370_000)
    bulletin = english(golden.snapshot())
    assert bulletin.banner == ""
    arrivals = row(bulletin, "crossings", "Arrivals of foreign citizens")
    assert (arrivals.agreement_text, arrivals.note) == ("equal", "")


def test_a_sample_of_full_size_says_that_it_is_simulated(golden: Golden) -> None:
    golden.refer("SIMULATION_SCALE", 1, "2025", "ratio", "tolqyn simulate", published_on="2025-02-01")
    golden.put("ARRIVALS", 4_370_000)
    bulletin = english(golden.snapshot())
    assert "full size" in bulletin.banner
    assert row(bulletin, "crossings", "Arrivals of foreign citizens").agreement_text == "equal"


def test_a_simulated_bulletin_names_the_scale_and_calls_no_agency_the_source(golden: Golden) -> None:
    bulletin = english(golden.snapshot())
    assert "1:100" in bulletin.banner
    assert all(table.source.startswith("Source: simulated events") for table in tables(bulletin).values())


@pytest.mark.parametrize(
    ("indicator", "dimensions", "table", "label"),
    [
        ("ARRIVALS_CHANGE_QOQ", {}, "crossings", None),
        ("ARRIVALS_SHARE", {"area": "UZ"}, "arrivals_share", "Uzbekistan"),
        ("DEPARTURES_SHARE", {"area": "FAR_ABROAD"}, "departures_share", "Far abroad"),
        ("PERMITS_IN_FORCE", {}, "permits", "Permits in force at the end of the quarter"),
        ("FOREIGN_STUDENTS", {}, "students", "Foreign students at the end of the quarter"),
        ("INFORMAL_SHARE", {"method": "SURVEY"}, "informal", "Share working without a contract, by the survey"),
    ],
)
def test_a_computed_figure_moves_with_its_observation_and_the_published_one_stays(
    golden: Golden, indicator: str, dimensions: dict[str, str], table: str, label: str | None
) -> None:
    label = label or "on the previous quarter"
    before = next(r for r in tables(english(golden.snapshot()))[table].rows if r.label == label)
    assert before.agreement == "equal"
    golden.put(indicator, (before.value or 0) + 1000, **dimensions)
    after = next(r for r in tables(english(golden.snapshot()))[table].rows if r.label == label)
    assert after.computed != before.computed
    assert after.value == (before.value or 0) + 1000
    assert after.published == before.published
    assert after.agreement == "differs"
    assert "1,000" in after.agreement_text


def test_a_bulletin_of_an_empty_snapshot_shows_no_computed_figure_at_all(empty: Any) -> None:
    bulletin = english(empty().snapshot())
    for table in tables(bulletin).values():
        for each in table.rows:
            assert each.computed == "–"
            assert each.value is None
            assert each.agreement == ""
    assert all(headline.value == "–" for headline in bulletin.headlines)


def test_figures_of_the_article_stand_only_beside_their_own_period(golden: Golden) -> None:
    golden.put("ARRIVALS", 30775, "2025-Q1")
    arrivals = row(english(golden.snapshot(), "2025-Q1"), "crossings", "Arrivals of foreign citizens")
    assert arrivals.computed == "30,775"
    assert arrivals.published == ""


def test_the_stock_of_a_year_before_stands_beside_what_the_article_says_of_it(golden: Golden) -> None:
    before = row(english(golden.snapshot()), "permits", "a year before")
    assert (before.computed, before.published, before.agreement) == ("13,011", "about 13,000", "equal")
    assert "second quarter of 2024" in before.period


def test_leading_citizenships_are_ranked_from_the_observations(golden: Golden) -> None:
    assert row(english(golden.snapshot()), "permits", "Leading citizenships").agreement == "equal"
    golden.put("PERMITS_IN_FORCE", 9000, area="TR")
    moved = row(english(golden.snapshot()), "permits", "Leading citizenships")
    assert moved.computed.startswith("Türkiye, China")
    assert (moved.agreement, moved.agreement_text) == ("differs", "another order")


def test_groups_are_never_ranked_among_countries(golden: Golden) -> None:
    golden.put("PERMITS_IN_FORCE", 99999, area="EAEU")
    assert row(english(golden.snapshot()), "permits", "Leading citizenships").computed.startswith("China")


def test_every_figure_of_the_article_stands_in_its_bulletin_with_source_and_period_and_agrees(golden: Golden) -> None:
    shown: dict[str, list[tuple[float, str]]] = {}
    for table in tables(english(golden.snapshot())).values():
        for each in table.rows:
            if each.published_value is not None:
                assert each.source or table.stated_by, each.label
                shown.setdefault(each.indicator, []).append((each.published_value, each.agreement))
    stated = {name: [s.value for s in indicator.statements] for name, indicator in catalogue().items() if indicator.statements}
    assert {name: sorted(value for value, _ in found) for name, found in shown.items()} == {n: sorted(v) for n, v in stated.items()}
    plans = {"FOREIGN_BRANCHES"}  # a plan is not to be equal to what is there
    assert {a for name, found in shown.items() for _, a in found if name not in plans} == {"equal"}


def test_a_figure_that_the_article_states_of_a_year_does_not_stand_beside_a_quarter(golden: Golden) -> None:
    rows = [r for r in tables(english(golden.snapshot()))["labour"].rows if r.label == "Citizens who left for work abroad"]
    assert [(r.period, r.computed, r.published) for r in rows] == [
        ("", "360", ""), ("2023", "1,900", "about 190,000"), ("2024", "1,400", "140,000"),
    ]  # fmt: skip
    assert rows[2].agreement_text == "equal at 1:100 scale"
    leading = row(english(golden.snapshot()), "labour", "Leading destinations")
    assert (leading.period, leading.agreement) == ("2024", "equal")


def test_a_bulletin_of_an_earlier_quarter_does_not_speak_of_later_years(golden: Golden) -> None:
    golden.put("NET_MIGRATION", 1, "2022-Q4")
    labour = tables(english(golden.snapshot(), "2022-Q4"))["labour"]
    assert {r.period for r in labour.rows} == {"", "2022"}
    assert not any(r.published for r in labour.rows)


def test_what_must_be_known_to_read_a_figure_stands_beside_it(golden: Golden) -> None:
    bulletin = english(golden.snapshot())
    [net] = [r for r in tables(bulletin)["residence"].rows if r.indicator == "NET_MIGRATION" and r.period]
    assert net.note == "The source does not state the period; it is taken as the year 2024"
    assert tables(bulletin)["residence_purposes"].remark == "As printed in the source: they add to 101"


def test_patients_are_those_of_the_newest_year_that_has_a_base(golden: Golden) -> None:
    ratios = tables(english(golden.snapshot()))["medical_ratio"].rows
    assert [(r.label, r.computed, r.published) for r in ratios] == [
        ("All citizenships", "5.0", "5"), ("China", "24.0", "24"), ("India", "40.0", "40"), ("Türkiye", "3.0", "3"),
        ("Uzbekistan", "4.7", ""),
    ]  # fmt: skip
    golden.put("MEDICAL_VISITORS_RATIO_5Y", 6, "2025", freq="A")
    assert tables(english(golden.snapshot()))["medical_ratio"].rows[0].computed == "6.0"
    golden.put("MEDICAL_VISITORS", 235, "2024-Q4")
    assert tables(english(golden.snapshot(), "2024-Q4"))["medical_ratio"].rows[0].computed == "5.0"


def test_estimates_from_repeated_offences_are_of_the_last_whole_year(golden: Golden) -> None:
    golden.estimates["ZELTERMAN|2024|INFORMAL_WORKERS"] = {
        "absent": True, "reason": "nobody was found exactly twice: the chance to be found cannot be estimated",
    }  # fmt: skip
    bulletin = build(golden.snapshot(), "2025-Q2", "ru")
    chao = row(bulletin, "informal", "Численность, по повторным правонарушениям: нижняя граница Чао")
    assert (chao.period, chao.status, chao.interval) == ("2024 год", "E", "41\u00a0000–46\u00a0000")
    zelterman = row(bulletin, "informal", "Численность, по повторным правонарушениям: Зелтерман")
    assert zelterman.note == "никто не выявлен ровно два раза: вероятность выявления оценить нельзя"


def test_a_missing_change_says_that_its_base_is_missing(golden: Golden) -> None:
    rows = [r for r in tables(english(golden.snapshot()))["crossings"].rows if r.label == "on the same quarter a year before"]
    assert [(r.computed, r.note) for r in rows] == [("–", "no data for the base period")] * 2


def test_an_absent_estimate_gives_the_reason_of_the_estimating_service_in_the_language_of_the_page(golden: Golden) -> None:
    label = "Численность, остаточный метод"
    residual = row(build(golden.snapshot(), "2025-Q2", "ru"), "informal", label)
    assert residual.computed == "–"
    assert "1\u00a0234" in residual.note
    assert "сальдо" in residual.note


def test_an_unknown_reason_is_given_as_it_came(golden: Golden) -> None:
    golden.estimates["RESIDUAL|2025-Q2|INFORMAL_WORKERS"] = {"absent": True, "reason": "the moon was full"}
    residual = row(build(golden.snapshot(), "2025-Q2", "kk"), "informal", "Саны, қалдық әдісі")
    assert residual.note == "the moon was full"


def test_an_estimate_has_its_interval_its_status_and_its_assumptions(golden: Golden) -> None:
    bulletin = english(golden.snapshot())
    share = row(bulletin, "informal", "Share working without a contract, by the survey")
    assert (share.computed, share.interval, share.status) == ("34.0\u00a0%", "31.9–36.2", "E")
    [assumptions] = [section.assumptions for section in bulletin.sections if section.key == "informal"]
    assert [(item.rating, item.rating_text, item.foreign) for item in assumptions[0].items] == [("amber", "medium", False)]


def test_a_suppressed_figure_shows_no_value(golden: Golden) -> None:
    golden.put("PERMITS_IN_FORCE", None, status="Q")
    hidden = row(english(golden.snapshot()), "permits", "Permits in force at the end of the quarter")
    assert (hidden.computed, hidden.note, hidden.status) == ("–", "not disclosed", "Q")
    assert ("Q", "not disclosed") in english(golden.snapshot()).statuses


def test_the_target_is_the_newest_reference_and_names_its_year(golden: Golden) -> None:
    golden.refer("FOREIGN_STUDENTS_TARGET", 100000, "2030", "persons", "President", published_on="2025-10-31")
    golden.put("FOREIGN_STUDENTS_TARGET", 100000, "2030", freq="A", status="F")
    target = row(english(golden.snapshot()), "students", "Target for 2030")
    assert (target.computed, target.published, target.status) == ("100,000", "", "F")


def test_publication_cut_sources_and_periods_are_named(golden: Golden) -> None:
    bulletin = english(golden.snapshot())
    assert bulletin.publication == 41
    assert "09:12:45" in bulletin.published_at
    assert "border crossings – 75,000" in bulletin.cut
    assert bulletin.periods == ("2025-Q2", "2025-Q1")
    assert any("n = 1,845" in source for source in bulletin.sources)
    assert all(table.source for table in tables(bulletin).values())


def test_charts_are_drawn_from_the_observations(golden: Golden) -> None:
    charts = {part.key: part for s in english(golden.snapshot()).sections for part in s.parts if not isinstance(part, Table)}
    quarters = charts["crossings"]
    assert isinstance(quarters, Columns)
    assert [label for label, _ in quarters.groups] == ["Q1 2025", "Q2 2025"]
    rolling = charts["rolling"]
    assert isinstance(rolling, Lines)
    assert rolling.lines[0] == ((0.0, 30775), (1.0, 31675))
    estimates = charts["informal_workers"]
    assert isinstance(estimates, Intervals)
    assert (estimates.marks[0].lower, estimates.marks[0].upper) == (175288, 199045)


def test_a_period_without_any_observation_has_no_data(golden: Golden) -> None:
    assert bulletins.has_data(golden.snapshot(), "2024-Q2")
    assert not bulletins.has_data(golden.snapshot(), "2031-Q1")


@pytest.mark.parametrize("period", ["2025", "2025-Q5", "2025-q2", "2025-Q2 ", "../etc", "２０２５-Q2"])
def test_a_malformed_period_is_refused(golden: Golden, period: str) -> None:
    with pytest.raises(ValueError, match="2025-Q2"):
        build(golden.snapshot(), period, "en")


def test_no_figure_of_the_article_is_written_in_the_code() -> None:
    from pathlib import Path

    import services.dissemination

    folder = Path(services.dissemination.__file__).parent
    for path in [*folder.glob("*.py"), *folder.glob("templates/*"), folder.parents[1] / "tools" / "command" / "bulletin.py"]:
        text = path.read_text("utf-8").replace("_", "")
        assert not re.search(r"4370000|4200000|14820|31500|150000|550000|1845", text), path.name
