"""How a GSAS-II project is filled and fitted by Le Bail; numpy alone, since a bundle carries a copy of this folder."""
