"""Webhooks in the database: push hooks of projects, and notices of ends."""
