"""`make bench`: every measurement in one run, on one broker."""
