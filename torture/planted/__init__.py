"""Bugs on purpose: a torture that does not find its planted bug is worth nothing.

Each module is loaded into the served process in the place of `torture.jobs` and spoils one thing.
"""
