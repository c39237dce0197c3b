"""Mutants: the engine broken in one place at a time, and what finds it out. `make mutants` prints the table."""
