"""Versions of records that come without one: the moment of receipt in milliseconds, so that the last received counts.

Within one submission a record that is repeated gets rising versions, and no submission gets a version that an earlier one may have
used. The clock may so run ahead by as many milliseconds as a record was repeated; a submission is answered only when real time has
caught up (`ahead_ms`), so that whatever is received after the answer, by whichever process, gets a higher version.
"""

from collections import Counter


class VersionClock:
    """Hands out versions; never goes back, even when the system's clock does."""

    def __init__(self) -> None:
        self._last = 0

    def begin(self, now_ms: int) -> "SubmissionVersions":
        """The versions of one submission received at `now_ms`. It must be used up before the next one begins."""
        return SubmissionVersions(self, self.moment(now_ms))

    def moment(self, now_ms: int) -> int:
        """The moment `now_ms` as the first version of what is received then."""
        return max(now_ms, self._last + 1)

    def used(self, version: int) -> None:
        """Take note of a version handed out."""
        self._last = max(self._last, version)


class SubmissionVersions:
    """The versions of one submission."""

    def __init__(self, clock: VersionClock, base: int) -> None:
        self._clock, self._base = clock, base
        self._repeats: Counter[str] = Counter()
        self.highest = 0  # of those handed out; 0 if none was needed

    def next(self, record_id: str) -> int:
        """The version of the next record with this id."""
        version = self._base + self._repeats[record_id]
        self._repeats[record_id] += 1
        if version > self.highest:
            self.highest = version
            self._clock.used(version)
        return version

    def ahead_ms(self, now_ms: int) -> int:
        """How long to wait until a version given at that moment would be higher than all of these."""
        # One more for a sleep that ends early by a fraction
        return max(0, self.highest + 2 - now_ms) if self.highest else 0
