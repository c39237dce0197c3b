"""From the schedule, as data, and a seed to strikes."""

import random
from pathlib import Path
from typing import Any, NamedTuple

import yaml

FILE = Path(__file__).with_name("schedule.yaml")
SERVICES, WORKERS = "services", "workers"


class Strike(NamedTuple):
    """One fault. `pause`: seconds before it; `seconds`: how long it lasts, if it does; `draw`: seed of what it draws itself."""

    fault: str
    target: str
    pause: float
    seconds: float
    draw: str


class Phase(NamedTuple):
    """Strikes that may run side by side."""

    name: str
    at_once: int
    strikes: list[Strike]


class Plan(NamedTuple):
    """What one run does. `publications`: how many are recomputed, of the table and of the topic each."""

    seed: int
    records_per_second: dict[str, float]
    publications: int
    limits: dict[str, float]
    judge_recovery: bool
    phases: list[Phase]

    def rate(self, feed: str) -> float:
        return self.records_per_second.get(feed, self.records_per_second["others"])


def plan(kind: str, seed: int, services: list[str], workers: list[str]) -> Plan:
    """The schedule `kind` with everything drawn that is left to chance."""
    data: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
    chosen = data[kind]
    rng = random.Random(f"schedule/{seed}")
    phases = []
    for phase in chosen["phases"]:
        strikes = []
        for line in phase["strikes"]:
            wanted, times = line["targets"], range(line["times"])
            targets = wanted if isinstance(wanted, list) else {SERVICES: services, WORKERS: workers}[wanted]
            victims = [rng.choice(targets) for _ in times] if wanted == WORKERS else [t for t in targets for _ in times]
            for victim in victims:
                pause = rng.uniform(0, phase["pause_seconds"])
                strikes.append(Strike(line["fault"], victim, pause, line.get("seconds", 0), f"{seed}/{rng.random()}"))
        rng.shuffle(strikes)
        phases.append(Phase(phase["name"], phase["at_once"], strikes))
    return Plan(seed, chosen["records_per_second"], chosen["publications"], data["limits"], chosen["judge_recovery"], phases)
