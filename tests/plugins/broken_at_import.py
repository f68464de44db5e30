"""A plugin whose own requirement is missing."""

raise ImportError("No module named 'crystal_ball'")
