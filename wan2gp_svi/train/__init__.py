"""Training on a small world: a Wan of a few megabytes, and SVI's error recycling on top of it."""
