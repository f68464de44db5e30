"""The observed diffraction lines of a histogram."""
