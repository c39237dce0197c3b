"""Recomputes published figures from the raw log by a path of its own. Shares no rule with the engine: see README.md."""
