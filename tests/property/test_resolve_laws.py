"""The rule of versions over a whole batch says what it says record by record."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared.statistics.folding.fold import NO_VERSION, UNNUMBERED, resolve

# (key, version, content): few of each, so that keys repeat, and keys that come once stand beside keys that come often.
versions = st.sampled_from([UNNUMBERED, UNNUMBERED, UNNUMBERED, 1, 2, 3, 4])
batches = st.lists(st.tuples(st.integers(0, 9), versions, st.integers(0, 2)), min_size=1, max_size=25)
known = st.dictionaries(st.integers(0, 9), st.tuples(versions, st.integers(0, 2)))


@given(batches, known)
@settings(max_examples=500, deadline=None)
def test_a_batch_is_resolved_as_its_records_one_after_the_other(batch, index) -> None:  # type: ignore[no-untyped-def]
    keys = sorted({key for key, _, _ in batch})
    before = {key: index.get(key, (NO_VERSION, 0)) for key in keys}
    resolved = resolve(
        np.array([keys.index(key) for key, _, _ in batch], np.int64),
        np.array([version for _, version, _ in batch], np.int64),
        np.array([content for _, _, content in batch], np.uint64),
        np.array([before[key][0] for key in keys], np.int64),
        np.array([before[key][1] for key in keys], np.uint64),
    )
    now, verdicts, stood = dict(before), [], []
    for key, version, content in batch:
        held = now[key]
        stood.append(held[1])
        if version > held[0] or (version == held[0] == UNNUMBERED and content != held[1]):
            now[key] = (version, content)
            verdicts.append("counted")
        elif version == held[0]:
            verdicts.append("duplicate" if content == held[1] else "conflict")
        else:
            verdicts.append("stale")
    names = ("counted", "duplicate", "conflict")
    found = [next((n for n, column in zip(names, row, strict=True) if column), "stale") for row in zip(*resolved[:3], strict=True)]
    assert found == verdicts
    assert resolved.before.tolist() == stood
    # What counted, if only for a while: of three contents without a version the last may be the first again.
    changed = sorted({key for (key, _, _), verdict in zip(batch, verdicts, strict=True) if verdict == "counted"})
    assert [keys[group] for group in resolved.groups.tolist()] == changed
    assert list(zip(resolved.versions.tolist(), resolved.contributions.tolist(), strict=True)) == [now[key] for key in changed]
    assert resolved.retracted.tolist() == [before[key][1] for key in changed]
