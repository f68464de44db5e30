"""From crystal structures to patterns as an instrument measures them, in batches on a CPU or GPU."""
