"""The rivals: the same job in each, written as its documentation advises. Each is a process of its own."""
