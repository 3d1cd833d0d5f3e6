"""The profiles that WanGP's dropdown lists: what they hold, and whether it is right.

Only the standard library is used, and nothing of WanGP is run: it is read with `ast`.
"""
