"""The mutants: a text of one source file, and what it becomes. The text must be there exactly once."""

from typing import NamedTuple

LEDGER = "services/shared/runtime/kafka/ledger.py"
LEDGER_SET = "services/shared/statistics/exchange/ledger_set.py"
WORKER = "services/tally/worker.py"
PARTITION = "services/tally/partition.py"
DECODE = "services/tally/decode.py"
STORE = "services/tally/run_store.py"
FOLD = "services/shared/statistics/folding/fold.py"
LOG_TIME = "services/shared/statistics/exchange/log_time.py"
INDEX = "services/shared/statistics/folding/index.py"
LETTERS = "services/shared/runtime/kafka/dead_letters.py"
PUBLISHER = "services/indicator_publisher/publisher.py"
RELEASE = "services/shared/statistics/publication/release.py"
RELEASES = "services/indicator_publisher/releases.py"
DISCLOSURE = "services/shared/statistics/publication/disclosure.py"
ALIGNMENT = "services/indicator_publisher/alignment.py"


class Mutant(NamedTuple):
    """`edits`: (file, text, what it becomes). `equivalent`: why it is no mutant: it changes nothing that could be seen."""

    name: str
    edits: tuple[tuple[str, str, str], ...]
    equivalent: str = ""


MUTANTS = (
    Mutant("none: the engine as it is", (), "what finds the others out does not find fault with the engine"),
    Mutant(
        "the last version in the log counts, not the highest",
        (
            (FOLD, "wins = place > before", "wins = np.ones(n + k, bool)"),
            (FOLD, "counted = (versions > known) |", "counted = (versions > NO_VERSION) |"),
        ),
    ),
    Mutant(
        "an equal version of other content replaces the first",
        (
            (FOLD, "wins = place > before", "wins = place >= before"),
            (FOLD, "counted = (versions > known) |", "counted = (versions >= known) |"),
        ),
    ),
    Mutant(
        "what has no version is ranked by a stamp, as numbers are",
        (
            (
                DECODE,
                '    versions = frame["version"].fill_null(0).to_numpy()\n',
                '    versions = frame["version"].fill_null(0).to_numpy()\n'
                "    versions = np.where(versions == UNNUMBERED, np.array([*records.timestamps], np.int64)[at], versions)\n",
            ),
        ),
    ),
    Mutant(
        "of records without a version the first counts",
        (
            (FOLD, "(contribution[1:] != contribution[:-1])", "False"),
            (FOLD, " | (otherwise & unnumbered)", ""),
        ),
    ),
    Mutant(
        "what has no version counts again though it says the same",
        (
            (FOLD, " & (contribution[1:] != contribution[:-1])", ""),
            (FOLD, " | (otherwise & unnumbered)", " | (same_version & unnumbered)"),
        ),
    ),
    Mutant(
        "what has no version overtakes what has one, in a batch of its own",
        ((FOLD, " | (otherwise & unnumbered)", " | (~same_content & unnumbered)"),),
    ),
    Mutant(
        "the log's time is unconfirmed (test_one_record_under_a_wrong_clock_moves_nothing)",
        ((LOG_TIME, "if counts and appended > newest:", "if appended > newest:"),),
    ),
    Mutant(
        "what has no stamp says the time after the first stamp, too",
        ((LOG_TIME, "counts = not stamped", "counts = True"),),
    ),
    Mutant(
        "a restart forgets that the log has stamps",
        ((WORKER, "LogTime(manifest.log_time, manifest.stamped)", "LogTime(manifest.log_time, False)"),),
    ),
    Mutant(
        "a new version is added, the old one not taken back",
        (
            (
                PARTITION,
                "count(resolved.contributions, resolved.retracted)",
                "count(resolved.contributions, resolved.retracted[:0])",
            ),
        ),
    ),
    Mutant(
        "a batch that arrived on several days counts as if on one",
        ((PARTITION, "    if len(days) == 1:\n", "    if len(days):\n"),),
    ),
    Mutant(
        "a conflict is not counted where nothing else changed",
        ((PARTITION, "if len(changed) or len(counts.slots):", "if len(changed):"),),
    ),
    Mutant(
        "merged runs keep the oldest version of a record",
        ((INDEX, "newest_first = runs[::-1]", "newest_first = runs"),),
    ),
    Mutant(
        "the offset is saved without the counts",
        ((WORKER, "    fresh = fold.fresh_run()\n", "    fresh = None\n"),),
    ),
    Mutant(
        "the last record is folded again after a restart",
        (
            (
                WORKER,
                "fold.offset, fold.last_offset = manifest.offset,",
                "fold.offset, fold.last_offset = max(0, manifest.offset - 1),",
            ),
        ),
    ),
    Mutant(
        "reading goes on one record too far after a restart",
        (
            (
                WORKER,
                "self._log.seek(number, self._parts[number].fold.offset)",
                "self._log.seek(number, self._parts[number].fold.offset + 1)",
            ),
        ),
    ),
    Mutant(
        "state is loaded whatever its checksums say",
        (
            (STORE, 'if checksum.decode("ascii", "replace") != xxhash.xxh3_128_hexdigest(body):', "if False:"),
            (STORE, "if xxhash.xxh3_128_hexdigest(data) != checksum:", "if False:"),
        ),
    ),
    Mutant(
        "state is loaded whatever log it was folded from",
        ((WORKER, "                await self._check_identity(number, manifest, end)\n", ""),),
    ),
    Mutant(
        "a cut does not wait for its dead letters",
        ((WORKER, "        await self._dead.flush()\n", ""),),
    ),
    Mutant(
        "one of two cuts at a time does not wait for its dead letters (seed 109)",
        (
            (
                LETTERS,
                "            letters = list(self._open)\n",
                "            letters, self._open = list(self._open), []\n",
            ),
            (LETTERS, "        async with self._flushing:", "        if True:"),
        ),
    ),
    Mutant(
        "a cut does not wait for letters that a producer gave up",
        (
            (
                LETTERS,
                "                letters = [letter for letter in letters if letter.error]\n",
                "                letters = []\n",
            ),
        ),
    ),
    Mutant(
        "letters that were given up are sent again by the producer of which the broker takes nothing more",
        ((LETTERS, "            await self._producer.replace()\n", "            pass\n"),),
    ),
    Mutant(
        "no mark when only the offset moved",
        (
            (
                LEDGER,
                "            await self._send(partition, {**again, **news})\n            await self._mark(partition, mine)\n",
                "            await self._send(partition, {**again, **news})\n            if again or news:\n"
                "                await self._mark(partition, mine)\n",
            ),
        ),
    ),
    Mutant(
        "the mark names the cut before",
        (
            (
                LEDGER,
                "            mine.position = position\n",
                "            mine.position, position = position, mine.position or position\n            mine.position = position\n",
            ),
        ),
    ),
    Mutant(
        "a set is adopted without comparing its digest",
        (
            (
                LEDGER_SET,
                "if mark.entries != len(self._held.values) or mark.digest != self._held.digest():",
                "if mark.entries != len(self._held.values):",
            ),
        ),
    ),
    Mutant(
        "a set is adopted at every mark",
        ((LEDGER_SET, "if mark.entries != len(self._held.values) or mark.digest != self._held.digest():", "if False:"),),
    ),
    Mutant(
        "the entries are not counted, only their digest compared",
        (
            (
                LEDGER_SET,
                "if mark.entries != len(self._held.values) or mark.digest != self._held.digest():",
                "if mark.digest != self._held.digest():",
            ),
        ),
        "the digest is of all entries, so no set of another size has it; the count is a cheap look before the comparison",
    ),
    Mutant(
        "a reader accepts a lower cut",
        ((LEDGER_SET, "if self.adopted is not None and is_behind(mark.cut, self.adopted.cut):", "if False:"),),
    ),
    Mutant(
        "a set of other rules is adopted",
        (
            (
                LEDGER_SET,
                "if mark is None or mark.fold != self._fold or mark is self.adopted:",
                "if mark is None or mark is self.adopted:",
            ),
        ),
    ),
    Mutant(
        "an owner repairs nothing",
        (
            (LEDGER, "        if mine is None or not foreign:\n            return\n", "        return\n"),
            (LEDGER, "                if time.monotonic() - mine.scrubbed > SCRUB_SECONDS:\n", "                if False:\n"),
        ),
    ),
    Mutant(
        "an owner does not read its whole ledger now and then",
        ((LEDGER, "                if time.monotonic() - mine.scrubbed > SCRUB_SECONDS:\n", "                if False:\n"),),
    ),
    Mutant(
        "a new owner writes nothing at first",
        (
            (
                LEDGER,
                "        await self.write(partition, held.differences(wanted), position)\n",
                "        mine.position = position\n",
            ),
        ),
    ),
    Mutant(
        "a new owner trusts what it finds in the ledger",
        ((LEDGER, "await self.write(partition, held.differences(wanted), position)", "await self.write(partition, {}, position)"),),
    ),
    Mutant(
        "a new owner does not heed a mark that is ahead of it",
        ((LEDGER, "if mark is not None and mark.fold == self._fold and is_behind(position.cut, mark.cut):", "if False:"),),
    ),
    Mutant(
        "tombstones are not written",
        (
            (
                LEDGER,
                "            for key, value in changes.items()\n        ]",
                "            for key, value in changes.items()\n            if value is not None\n        ]",
            ),
        ),
    ),
    Mutant(
        "a follower never reads anew (seed 419)",
        ((LEDGER, "            await self._reread_what_stays_open()\n", ""),),
    ),
    Mutant(
        "a follower answers before it has come to the end",
        ((LEDGER, "behind = {tp for tp, end in ends.items() if end > 0}", "behind: set[TopicPartition] = set()"),),
    ),
    Mutant(
        "a stage does without one of its inputs",
        (("services/quarterly_aggregates/stage.py", "if len(marks) < len(self._marks):", "if not marks:"),),
    ),
    Mutant(
        "the publisher puts unequal cuts together",
        ((ALIGNMENT, "return mark.log_time, frozenset(mark.cut.items())", "return 0, frozenset()"),),
    ),
    Mutant(
        "the publisher writes another's figures under its own cut (seed 31721)",
        (
            (
                PUBLISHER,
                "if (standing.publication if standing else 0) == (self._known.publication if self._known else 0):",
                "if True:",
            ),
        ),
    ),
    Mutant(
        "a publisher that is behind what is published freezes releases from what it holds",
        ((PUBLISHER, "if self._cut == self._standing.cut:  # else", "if True:  # else"),),
    ),
    Mutant(
        "programmes of whole numbers are simplified before they are solved (seed 45457)",
        ((DISCLOSURE, 'options={"presolve": False, **options}', 'options={"presolve": True, **options}'),),
    ),
    Mutant(
        "the clock is read a second time while a release goes out (seed 1945000100)",
        (
            (
                RELEASES,
                "await self._store.release(frozen, new, known, now)",
                "await self._store.release(frozen, new, known, self._now())",
            ),
        ),
    ),
    Mutant(
        "what a release made final or showed is forgotten with the next cut",
        ((RELEASES, "        self._released = after\n", ""),),
    ),
    Mutant(
        "what is released is not read again when the database comes back",
        ((PUBLISHER, "                await self._releases.load()\n", ""),),
    ),
    Mutant(
        "a figure stays final whatever becomes of it",
        (
            (
                RELEASE,
                "FINAL if o.key in finals and finals[o.key] == o.value else PROVISIONAL",
                "FINAL if o.key in finals else PROVISIONAL",
            ),
        ),
    ),
    Mutant(
        "the rest after a cut is as long as a suspended process was (seed 106)",
        (
            (
                LEDGER,
                "return min(REST * took, REST_SECONDS_MAX)",
                "return REST * took",
            ),
            (WORKER, "min(CUT_REST * (ended - started), CUT_SECONDS_MAX)", "CUT_REST * (ended - started)"),
        ),
    ),
    Mutant(
        "a saved fold of nothing cannot be taken up (seed 1)",
        ((WORKER, "        if manifest.offset == 0:\n            return  # nothing was folded: that is true of every log\n", ""),),
    ),
)
