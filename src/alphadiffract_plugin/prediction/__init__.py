"""What the network says of a histogram.

``prepare`` turns a histogram into the network's input, ``predict`` asks the network, ``propose`` makes trial cells of
its lattices, ``alone`` is the network as an indexer of its own.
"""

from alphadiffract_plugin.prediction.alone import index_by_network
from alphadiffract_plugin.prediction.predict import predict, predict_many
from alphadiffract_plugin.prediction.propose import trials_from_prediction

__all__ = ["index_by_network", "predict", "predict_many", "trials_from_prediction"]
