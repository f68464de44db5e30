"""Whole-pattern fits (Pawley, Le Bail) of a cell."""
