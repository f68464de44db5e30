"""Cells, reciprocal metrics, Bravais lattices, groups and extinctions: the crystallography that all steps share."""
