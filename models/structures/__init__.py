"""Crystal structures to train on: where they come from, what is kept, and what must not be kept."""
