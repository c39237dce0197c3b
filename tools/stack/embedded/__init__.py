"""The real broker and the real database of a local stack, as our own child processes."""
