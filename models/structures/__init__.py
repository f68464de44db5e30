"""Crystal structures to train on: where they come from, which are kept, and which a benchmark knows."""
