"""Writes event-level feeds whose figures are known beforehand: `tolqyn simulate`."""
