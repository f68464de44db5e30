"""The network and what it learned: architectures, checkpoint folders, catalogue. torch is imported inside functions."""
