"""The renderer of synthetic FISH, training and evaluation."""
