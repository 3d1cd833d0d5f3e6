"""Video files: what they are, reading them, writing them. Knows neither SVI nor WanGP's code."""
