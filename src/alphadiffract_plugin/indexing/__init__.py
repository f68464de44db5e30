"""Unit cells from line positions."""
