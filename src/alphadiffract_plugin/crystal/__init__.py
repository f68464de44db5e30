"""Cells, reciprocal metrics, Bravais lattices, space groups and extinctions: the crystallography that every step shares."""
