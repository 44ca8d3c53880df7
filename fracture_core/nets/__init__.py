"""Networks of our own, written to be read: one file a concept."""
