"""How good a network is, and its release."""
