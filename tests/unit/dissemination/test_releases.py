"""What the bulletin says of releases."""

from datetime import timedelta
from typing import Any

import pytest

from services.dissemination import bulletin, page
from tests.unit.dissemination.conftest import PERIOD, PUBLISHED_AT, Draft

DATES = {"provisional": (PUBLISHED_AT + timedelta(days=20)).isoformat(), "final": (PUBLISHED_AT + timedelta(days=380)).isoformat()}


def body(name: str, final: bool, publication: int, period: str = PERIOD) -> dict[str, Any]:
    return {"name": name, "period": period, "final": final, "publication": publication}


def note(golden: Draft, releases: dict[str, Any], language: str = "en") -> str:
    snapshot = golden.snapshot()._replace(releases={"calendar": {"periods": {PERIOD: DATES}}, **releases})
    built = bulletin.build(snapshot, PERIOD, language)
    assert built.release in page.render_bulletin(built, "/").replace("&#39;", "'")
    return built.release.replace("\N{NO-BREAK SPACE}", " ")


def test_before_its_release_a_quarter_says_when_it_is_due(golden: Draft) -> None:
    said = note(golden, {"2025-Q1.P1": body("2025-Q1.P1", False, 3, "2025-Q1")})
    assert said.startswith("Not released yet. ")
    due = PUBLISHED_AT + timedelta(days=20, hours=5)
    assert f"The provisional release is due on {due.day} {due:%B %Y}, {due:%H:%M:%S}" in said


def test_a_release_is_named_with_what_comes_next(golden: Draft) -> None:
    provisional = {f"{PERIOD}.P{n}": body(f"{PERIOD}.P{n}", False, n) for n in (1, 2)}
    said = note(golden, provisional)
    assert said.startswith(f"Released as provisional ({PERIOD}.P2). ")
    assert "The final release is due on" in said
    said = note(golden, provisional | {f"{PERIOD}.F1": body(f"{PERIOD}.F1", True, 7)})
    assert said.startswith(f"Released as final ({PERIOD}.F1). ")
    assert "due" not in said


def test_an_instant_that_has_passed_is_not_announced(golden: Draft) -> None:
    old = dict.fromkeys(DATES, "2020-01-01T04:00:00+00:00")
    assert note(golden, {"calendar": {"periods": {PERIOD: old}}}) == (
        "Not released yet. The figures are provisional and are revised with every correction received."
    )
    only_final = DATES | {"provisional": "2020-01-01T04:00:00+00:00"}
    assert "The final release is due on" in note(golden, {"calendar": {"periods": {PERIOD: only_final}}})


@pytest.mark.parametrize("language", ["ru", "kk"])
def test_every_language_names_the_release(golden: Draft, language: str) -> None:
    assert f"({PERIOD}.F1)" in note(golden, {"x": body(f"{PERIOD}.F1", True, 7)}, language)
