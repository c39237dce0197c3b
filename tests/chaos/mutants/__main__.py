"""Break a copy of the engine in one place after the other; show which seed or test finds out.

python -m tests.chaos.mutants [PART OF A NAME]         the table
python -m tests.chaos.mutants PART OF A NAME SEED      one mutant plays one seed, with what happened

Exit 1 if a mutant survives, or if one that is said to be equivalent (it changes nothing that can be seen) is found out.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.mutants.catalogue import MUTANTS, Mutant

ROOT = Path(__file__).parents[3]
COPIED = ("services", "schemas", "tools", "tests", "pyproject.toml")
SEEDS = 500  # of each mutant at most; most fall within the first ten, the slowest around 150
TESTS = (  # of the engine; the ledger's integration test starts a broker
    "tests/property/test_ledger_laws.py",
    "tests/property/test_fold_laws.py",
    "tests/property/test_index_laws.py",
    "tests/unit/tally",
    "tests/unit/statistics/test_log_time.py",
    "tests/unit/test_ledger_follower.py",
    "tests/chaos/test_found_by_seeds.py",
    "tests/integration/test_ledger.py",
)
SECONDS_MAX = 600.0


@contextmanager
def broken(mutant: Mutant, folder: Path) -> Iterator[None]:
    """The copy with this mutant's edits in it."""
    try:
        for name, text, other in mutant.edits:
            path = folder / name
            source = path.read_text("utf-8")
            assert source.count(text) == 1, f"{mutant.name}: the text to change is there {source.count(text)} times in {name}"
            path.write_text(source.replace(text, other), "utf-8")
        yield
    finally:
        for name, _, _ in mutant.edits:
            shutil.copyfile(ROOT / name, folder / name)


def survives(mutant: Mutant, folder: Path) -> str:
    """What finds the mutant out; empty if nothing does."""
    with broken(mutant, folder):
        done = run(folder, "tests.chaos.simulated", "--start", "0", "--count", str(SEEDS))
        if done.returncode:
            found = re.search(r"^seed (\d+): (.*)", done.stdout, re.MULTILINE)
            return f"seed {found[1]}: {found[2]}" if found else f"simulation: {done.stderr.strip().splitlines()[-1]}"
        done = run(folder, "pytest", "-q", "-x", "-p", "no:cacheprovider", *TESTS)
        if done.returncode:
            found = re.search(r"^FAILED (?:.*::)?(\S+)", done.stdout, re.MULTILINE)
            return f"test {found[1]}" if found else "tests: " + done.stdout.strip().splitlines()[-1]
        return ""


def run(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    # The copy, not the installed tree; no bytecode, which could outlive the source it was made of.
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-P", "-m", module, *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS_MAX,
    )  # fmt: skip


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the engine that may be broken."""
    with tempfile.TemporaryDirectory(prefix="tolqyn-mutants-") as name:
        folder = Path(name)
        for source in COPIED:
            path = ROOT / source
            if path.is_dir():
                shutil.copytree(path, folder / source, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(path, folder / source)
        where = run(folder, "tests.chaos.mutants.where")
        assert where.stdout.strip().startswith(str(folder)), f"the copy is not what would be tested: {where.stdout}{where.stderr}"
        yield folder


def table(chosen: list[Mutant]) -> int:
    """Print it; the exit code."""
    right = 0
    with copied() as folder:
        print(f"| mutant | found out by |\n|---|---|  ({SEEDS} seeds from 0, then tests)")
        for mutant in chosen:
            found = survives(mutant, folder)
            right += bool(found) != bool(mutant.equivalent)
            survivor = f"equivalent: {mutant.equivalent}" if mutant.equivalent else "IT SURVIVES"
            print(f"| {mutant.name} | {found[:150] or survivor} |", flush=True)
    real = sum(not mutant.equivalent for mutant in chosen)
    verdict = "all found out" if right == len(chosen) else f"{len(chosen) - right} WRONG"
    print(f"{real} mutants, {len(chosen) - real} equivalent; {verdict}")
    return 0 if right == len(chosen) else 1


def story(mutant: Mutant, seed: str) -> int:
    """Play one seed, and print what happened; 0 if it finds the mutant out."""
    with copied() as folder, broken(mutant, folder):
        done = run(folder, "tests.chaos.simulated", seed)
    print(f"{mutant.name}\n{done.stdout}{done.stderr}")
    return 0 if done.returncode else 1


def main(part: str = "", seed: str = "") -> int:
    chosen = [mutant for mutant in MUTANTS if part in mutant.name]
    if not chosen:
        sys.exit(f"no mutant is named like {part!r}")
    return story(chosen[0], seed) if seed else table(chosen)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
