"""How good a network is, and its release.

``evaluate`` asks the network about structures and measured patterns (``measured_index``), ``report`` writes figures,
``calibrate`` fits the temperature, ``members``, ``card`` and ``release`` pack a model, ``simulated`` writes patterns.
"""

__all__ = []
