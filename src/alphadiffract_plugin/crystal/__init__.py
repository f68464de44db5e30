"""Cells, reciprocal metrics, Bravais lattices, groups and extinctions: the crystallography that all steps share.

``cells`` turns cells into metric tensors and back, ``bragg`` angles into 1/d² and back; ``symmetry`` holds the space
groups and their absences, ``bravais`` the fourteen lattices, ``reflections`` the indices of a cell, and ``extinction``
the extinction classes. Needs numpy, gemmi and spglib, and nothing else of this package.
"""

from alphadiffract_plugin.crystal.bragg import (
    d_from_two_theta,
    inv_d2_from_two_theta,
    inv_d2_per_degree,
    kalpha2_two_theta,
    two_theta_at_wavelength,
    two_theta_from_inv_d2,
)
from alphadiffract_plugin.crystal.bravais import (
    LATTICES,
    BravaisCell,
    Lattice,
    bravais_from_basis,
    centred,
    centring_translations,
    primitive_basis,
)
from alphadiffract_plugin.crystal.cells import (
    NO_CELL,
    Cell,
    angle_determinant,
    cell_from_direct_metric,
    cell_from_metric,
    direct_metric_from_cell,
    is_cell,
    metric_from_cell,
    tensor_from_metric,
    volume_from_cell,
)
from alphadiffract_plugin.crystal.extinction import (
    ExtinctionClass,
    Setting,
    extinction_classes,
    standard_extinction_symbol,
)
from alphadiffract_plugin.crystal.reflections import (
    allowed_inv_d2,
    indices_within,
    quadratic_form,
    reflections_within,
)
from alphadiffract_plugin.crystal.symmetry import (
    CRYSTAL_SYSTEMS,
    Operations,
    crystal_system_from_space_group,
    extinct,
    lattice_family,
    operations_from_space_group,
    operations_of,
    symbol_from_space_group,
)

__all__ = [
    "CRYSTAL_SYSTEMS",
    "LATTICES",
    "NO_CELL",
    "BravaisCell",
    "Cell",
    "ExtinctionClass",
    "Lattice",
    "Operations",
    "Setting",
    "allowed_inv_d2",
    "angle_determinant",
    "bravais_from_basis",
    "cell_from_direct_metric",
    "cell_from_metric",
    "centred",
    "centring_translations",
    "crystal_system_from_space_group",
    "d_from_two_theta",
    "direct_metric_from_cell",
    "extinct",
    "extinction_classes",
    "indices_within",
    "inv_d2_from_two_theta",
    "inv_d2_per_degree",
    "is_cell",
    "kalpha2_two_theta",
    "lattice_family",
    "metric_from_cell",
    "operations_from_space_group",
    "operations_of",
    "primitive_basis",
    "quadratic_form",
    "reflections_within",
    "standard_extinction_symbol",
    "symbol_from_space_group",
    "tensor_from_metric",
    "two_theta_at_wavelength",
    "two_theta_from_inv_d2",
    "volume_from_cell",
]
