"""Cells, reciprocal metrics, Bravais lattices, groups and extinctions: the crystallography that all steps share.

``cells`` turns cells into metric tensors and back, ``bravais`` holds the fourteen lattices and finds that of a basis,
``symmetry`` the space groups and their absences, ``reflections`` indices, 1/d² and angles, ``extinction`` classes.
"""

from alphadiffract_plugin.crystal.bravais import (
    CENTRING_TRANSLATIONS,
    LATTICES,
    BravaisCell,
    Lattice,
    bravais_from_basis,
    centred,
    primitive_basis,
)
from alphadiffract_plugin.crystal.cells import (
    cell_from_direct_metric,
    cell_from_metric,
    direct_metric_from_cell,
    metric_from_cell,
    tensor_from_metric,
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
    two_theta_from_inv_d2,
)
from alphadiffract_plugin.crystal.symmetry import (
    crystal_system_from_space_group,
    extinct,
    operations_from_space_group,
    operations_of,
    symbol_from_space_group,
)

__all__ = [
    "CENTRING_TRANSLATIONS",
    "LATTICES",
    "BravaisCell",
    "ExtinctionClass",
    "Lattice",
    "Setting",
    "allowed_inv_d2",
    "bravais_from_basis",
    "cell_from_direct_metric",
    "cell_from_metric",
    "centred",
    "crystal_system_from_space_group",
    "direct_metric_from_cell",
    "extinct",
    "extinction_classes",
    "indices_within",
    "metric_from_cell",
    "operations_from_space_group",
    "operations_of",
    "primitive_basis",
    "quadratic_form",
    "standard_extinction_symbol",
    "symbol_from_space_group",
    "tensor_from_metric",
    "two_theta_from_inv_d2",
]
