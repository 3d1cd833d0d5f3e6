"""A small application in WanGP's layout, and the demo that chains windows in it."""
