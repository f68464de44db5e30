"""Predictions of the network for a histogram.

``prepare`` turns a histogram into the input of the network, ``predict`` runs the network, ``propose`` makes trial cells
from its lattices, and ``alone`` is the network as an indexer by itself.
"""

from alphadiffract_plugin.prediction.alone import index_by_network
from alphadiffract_plugin.prediction.predict import predict, predict_many
from alphadiffract_plugin.prediction.propose import trials_from_prediction

__all__ = ["index_by_network", "predict", "predict_many", "trials_from_prediction"]
