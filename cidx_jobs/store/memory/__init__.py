"""Persistence in memory: the same promises without files, for tests."""
