"""SVI (Stable Video Infinity) for WanGP. Importing this package imports nothing heavy."""

__version__ = "0.1.0"
