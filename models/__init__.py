"""The networks: architectures, model folders, catalogue, the simulation that they learn from, and their training."""
