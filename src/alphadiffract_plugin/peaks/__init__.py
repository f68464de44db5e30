"""The observed diffraction lines of a histogram: found, fitted, and as the cell search sees them.

``background`` and ``profile`` hold models of background, noise and line shape, ``find_peaks`` fits them, ``observed``
gives each line a weight, ``doubt_wavelength`` warns of a wavelength that the lines or the usual tubes speak against.
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
