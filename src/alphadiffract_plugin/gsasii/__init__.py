"""Everything that touches GSAS-II."""
