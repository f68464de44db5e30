"""The diffraction lines of a histogram: how they are found and fitted, and how likely each is at a position.

``background`` and ``profile`` model background, noise and line shape, ``find_peaks`` fits them, ``observed`` gives the
likelihoods that the cell search needs, and ``doubt_wavelength`` warns of a wavelength that is probably wrong.
"""

from alphadiffract_plugin.peaks.background import background_of, noise_of
from alphadiffract_plugin.peaks.doubt_wavelength import doubts_about_wavelength
from alphadiffract_plugin.peaks.find_peaks import PeakFit, find_peaks, fit_peaks
from alphadiffract_plugin.peaks.observed import Observed, observed_from_peaks
from alphadiffract_plugin.peaks.profile import Shape

__all__ = [
    "PeakFit",
    "Observed",
    "Shape",
    "background_of",
    "doubts_about_wavelength",
    "fit_peaks",
    "find_peaks",
    "noise_of",
    "observed_from_peaks",
]
