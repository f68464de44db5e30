"""The training of a network: its settings, the patterns drawn, the loss, the loop, and the figures of merit."""
