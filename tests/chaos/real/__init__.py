"""Real faults: the whole stack under kills, pauses, torn files, full disks, hanging connections and poison, with a verdict.

`make chaos`, or `python -m tests.chaos.real`. What is struck, how often and when is data: `schedule.yaml`, and the seed.

- `schedule.py` turns data and seed into strikes; `campaign.py` carries them out and measures how long recovery takes.
- `stack.py` starts the stack (with `supervisor.py`), two more tally workers, and the proxies of `proxy.py` between them.
- `traffic.py` sends records all the time and remembers which were acknowledged; `poison.py` writes past the edge.
- `watcher.py` reads `indicators.v1` as a subscriber does.
- `truth.py` says what is true at a cut, `verdict.py` what was lost, duplicated, stale or never true. Neither uses the engine.
- `report.py` prints the table, and writes it into docs/guarantees.md.
"""
