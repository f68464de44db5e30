"""Learning: what is drawn, the loss, the loop, and how good the outcome is."""
