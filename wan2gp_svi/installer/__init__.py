"""Puts the hooks into WanGP and takes them out again. Standard library only, Python 3.10+."""
