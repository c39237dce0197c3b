"""The picture of topics and services in ARCHITECTURE.md."""

import pytest

from schemas import picture


def test_the_picture_in_architecture_is_current() -> None:
    assert picture.main(["--check"]) == 0


def test_every_topic_is_in_the_table_and_every_topic_on_the_way_in_the_picture() -> None:
    topics = picture.topics()
    drawn, listed = picture.picture(topics), picture.table(topics)
    for topic in topics:
        assert f"`{topic['name']}`" in listed
        assert (f'"{topic["name"]}<br/>' in drawn) == (topic["name"] not in picture.ASIDE)


def test_a_topic_that_changed_changes_the_page() -> None:
    page = picture.drawn(picture.PAGE.read_text("utf-8"))
    topic = picture.topics()[0]
    assert picture.table([topic]).splitlines()[-1] in page
    assert picture.table([{**topic, "partitions": 99}]).splitlines()[-1] not in page


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="once each"):
        picture.drawn("# Architecture\n")
