"""What the network says of a histogram."""
