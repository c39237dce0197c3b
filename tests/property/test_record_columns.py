"""Columns over one buffer say what lists say, and hashes of many keys are those of the library."""

import numpy as np
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared.statistics.exchange.records import WORD, Stretches, Texts, distinct_values
from services.shared.statistics.folding.key_hash import hashes

texts = st.lists(st.binary(max_size=300), min_size=1, max_size=12)


def apart(column: list[bytes], gaps: list[bytes]) -> Texts:
    """The column in a buffer with these bytes before each text."""
    data, starts = b"", []
    for gap, text in zip(gaps, column, strict=True):
        starts.append(len(data) + len(gap))
        data += gap + text
    buffer = np.frombuffer(data + b"\0" * WORD, np.uint8)
    return Texts(buffer, np.array(starts, np.int64), np.array([len(text) for text in column], np.int64))


@given(st.lists(st.one_of(st.binary(min_size=17, max_size=128), st.binary(max_size=300)), min_size=1, max_size=12))
@settings(max_examples=500, deadline=None)
def test_the_hashes_of_a_column_are_those_of_the_library(column: list[bytes]) -> None:
    high, low = hashes(Texts.of(column))
    pairs = zip(high.tolist(), low.tolist(), strict=True)
    assert [h.to_bytes(8) + lo.to_bytes(8) for h, lo in pairs] == [xxhash.xxh3_128_digest(key) for key in column]


@given(st.lists(st.one_of(st.none(), st.binary(max_size=20)), min_size=1, max_size=12), st.data())
def test_a_column_of_texts_is_a_sequence(column: list[bytes | None], data: st.DataObject) -> None:
    found = Texts.of(column)
    place = data.draw(st.integers(-len(column), len(column) - 1))
    assert list(found) == column
    assert found[place] == column[place]
    assert list(found[1:-1]) == column[1:-1]
    assert list(found.take(np.array([0, place % len(column)], np.int64))) == [column[0], column[place]]


@given(texts, st.data())
@settings(max_examples=300, deadline=None)
def test_lines_are_the_texts_with_spaces_before_at_most(column: list[bytes], data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([(1, 1), (0, 30), (8, 40)]))
    gaps = data.draw(st.lists(st.binary(min_size=size[0], max_size=size[1]), min_size=len(column), max_size=len(column)))
    lines = apart(column, gaps).lines()
    end = len(lines)
    for text in reversed(column):
        assert lines[:end].endswith(text)
        end -= len(text)
        while end and lines[end - 1 : end] == b" ":
            end -= 1
        assert end == 0 or lines[end - 1 : end] == b"\n"
        end -= 1
    assert end == -1


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 4)), min_size=1, max_size=6), st.integers(0, 9), st.integers(0, 9))
def test_stretches_are_a_sequence(parts: list[tuple[str, int]], begin: int, end: int) -> None:
    column = [value for value, n in parts for _ in range(n)]
    ends = np.cumsum([n for _, n in parts]).tolist()
    found = Stretches([value for value, _ in parts], ends)
    assert list(found) == column
    assert list(found[begin:end]) == column[begin:end]
    assert distinct_values(found[begin:end]) == set(column[begin:end])
    assert found[-1] == column[-1]
