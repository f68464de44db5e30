"""A plugin that tries to end the program at import."""

raise SystemExit(3)
