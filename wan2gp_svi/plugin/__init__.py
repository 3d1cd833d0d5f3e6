"""What WanGP loads as a plugin: runs without the hooks, and so can tell when they are gone."""
