"""Webhooks in memory: push hooks of projects, and notices of ends."""
