"""Code lists are said once, in the record types; a code that nobody has named is told of, with the place to name it."""

from collections.abc import Iterator

import pytest

from schemas import generate
from schemas.feeds import FEEDS
from schemas.feeds.fields import codes
from schemas.sdmx import structures


@pytest.fixture
def unnamed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if a purpose had been added to the record types."""
    known = structures._codes()
    monkeypatch.setattr(structures, "_codes", lambda: known | {"CL_PURPOSE": (*known["CL_PURPOSE"], "asylum")})
    structures.structures.cache_clear()
    yield
    structures.structures.cache_clear()


@pytest.mark.usefixtures("unnamed")
def test_a_new_code_without_names_fails_the_check_in_a_line_that_says_where_to_add_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert said == "schemas/sdmx/names.yaml: codelists.CL_PURPOSE.codes.asylum has no name in en, ru, kk: add it there\n"


def test_code_lists_are_found_however_they_are_written() -> None:
    permits = FEEDS["work-permits"].record
    assert codes(permits, "category") == ("1", "2", "3", "4", "seasonal", "transfer")
    assert codes(permits, "sector")[0] == "A"
    assert codes(FEEDS["student-enrolments"].record, "outcome") == ("graduated", "withdrawn", "transferred")
    with pytest.raises(LookupError):
        codes(permits, "valid_from")
