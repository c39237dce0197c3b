"""Versions as SDMX REST asks for them: `1.0`, `*` (all), `~` (the newest), `+` (the newest stable), and these within a part.

Every artefact and format here has one version, so "all" and "the newest" are the same. A part that is not given counts as 0.
"""

import re

_PART = re.compile(r"(?P<number>[0-9]{1,9})?(?P<wildcard>[*+~])?")
PARTS_MAX = 3


def parse_version(text: str) -> tuple[tuple[int, bool], ...] | None:
    """(least number, open above) of each part; None for what is no version query."""
    parts = []
    for part in text.split("."):
        match = _PART.fullmatch(part)
        if match is None or not part:
            return None
        parts.append((int(match["number"] or 0), match["wildcard"] is not None))
    if len(parts) > PARTS_MAX or sum(is_open for _, is_open in parts) > 1:
        return None
    return tuple(parts)


def matches(asked: tuple[tuple[int, bool], ...], version: str) -> bool:
    """Whether a version such as `2.0.0` was asked for: parts before an open one are equal, from there on it is not less."""
    offered = [int(part) for part in version.split(".")]
    offered += [0] * (PARTS_MAX - len(offered))
    numbers = [number for number, _ in asked] + [0] * (PARTS_MAX - len(asked))
    at = next((i for i, (_, is_open) in enumerate(asked) if is_open), None)
    if at is None:
        return offered == numbers
    return offered[:at] == numbers[:at] and offered[at:] >= numbers[at:]
