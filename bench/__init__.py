"""Measurements of speed: `make bench`. Nothing here is part of the product."""
