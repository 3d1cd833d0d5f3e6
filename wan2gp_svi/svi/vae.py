"""Wan's VAE in numbers."""

STRIDE = 8
"""Pixels that a cell of a latent is wide and high."""
CHANNELS = 16
"""Channels of a latent."""
