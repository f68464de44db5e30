"""Evaluation and release of networks.

``evaluate`` tests a network on simulated and on measured patterns (``measured_index``), ``report`` writes the figures,
``calibrate`` fits the temperature, ``members``, ``card`` and ``release`` pack a model, ``simulated`` writes patterns.
"""

__all__ = []
