"""An indexer for cubic crystals: the lines must lie at 1/d² = N / a² for the N = h² + k² + l² of a cubic lattice.

The whole plugin is this file and the entry point in ``pyproject.toml``.
"""

from alphadiffract_plugin.hooks import Indexer, hookimpl

LATTICES = {  # the group of highest symmetry of each cubic lattice, its symbol, and which indices it allows
    221: ("P m -3 m", lambda h, k, m: True),
    229: ("I m -3 m", lambda h, k, m: (h + k + m) % 2 == 0),
    225: ("F m -3 m", lambda h, k, m: h % 2 == k % 2 == m % 2),
}


@hookimpl
def rietveld_indexers():
    """Called once, when a host first lists or selects indexers; nothing heavy is imported yet."""
    yield Indexer(name="my-cubic", summary="cubic cells only, by exhaustion", index=index)


def index(histogram, settings):
    """Rank the cubic cells that put a calculated line at each of the clear lines, 20 at most."""
    from alphadiffract_plugin.peaks.find_peaks import find_peaks
    from alphadiffract_plugin.records import IndexingResult

    peaks = find_peaks(histogram, settings.peaks)
    clear = peaks.significance > 0.15 * peaks.significance.max()
    inv_d2 = peaks.inv_d2[clear][: settings.search.lines]
    found = [fit(inv_d2, group, first) for group in LATTICES for first in range(4)]
    ranked = sorted((candidate for candidate in found if candidate.m20 > 20), key=lambda candidate: -candidate.m20)
    return IndexingResult(histogram.name, "my-cubic", histogram.wavelength, tuple(ranked), peaks=peaks)


def fit(inv_d2, group, first):
    """The cell whose ``first`` allowed reflection (0, 1, ...) is the first line, by least squares on all lines."""
    import numpy as np

    from alphadiffract_plugin.records import Candidate

    symbol, allows = LATTICES[group]
    indices = [(h, k, m) for h in range(1, 13) for k in range(h + 1) for m in range(k + 1) if allows(h, k, m)]
    allowed = np.unique([h * h + k * k + m * m for h, k, m in indices])
    slope, shift = inv_d2[0] / allowed[first], 0.0  # 1/d² = slope · N + shift; the shift is a misplaced sample's
    for _ in range(3):
        nearest = allowed[np.abs((inv_d2[:, None] - shift) / slope - allowed).argmin(1)]
        slope, shift = np.polyfit(nearest, inv_d2, 1)
    error = np.abs(inv_d2 - slope * nearest - shift).mean()
    a, a_esd = slope**-0.5, slope**-1.5 * error / (2 * nearest.std() * len(nearest) ** 0.5)
    return Candidate(
        cell=(float(a),) * 3 + (90.0,) * 3,
        cell_esd=(float(a_esd),) * 3 + (0.0,) * 3,
        space_group=group,
        space_group_symbol=symbol,
        crystal_system="cubic",
        probability=float("nan"),
        m20=float(inv_d2[-1] / (2 * error * (allowed <= nearest[-1]).sum())),  # de Wolff (1968), over these lines
        lines_used=len(inv_d2),
    )
