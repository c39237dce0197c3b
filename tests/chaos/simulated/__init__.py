"""Simulated faults, by seed: the real engine on a memory broker, a virtual clock and a scheduler under one random seed.

`python -m tests.chaos.simulated SEED` plays one seed and prints what happened; see `__main__.py` for more.

loop.py      the scheduler: every await is a scheduling point, no thread, no real sleep
broker.py    append-only partitions, compaction, groups with zombies
clients.py   what stands in for aiokafka's producer and consumer, with late, lost and half-delivered batches
disk.py      state folders that are torn, flipped, lost, stale or full
oracle.py    a plain Python fold of the whole log: what is true at a cut
engine.py    the real services as simulated processes, each adoption held against the oracle
life.py      who plays a role: one process after the other
world.py     one run: the faults that a seed strikes with, then quiet, then the verdict
"""
