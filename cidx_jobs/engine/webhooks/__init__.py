"""Webhooks: what comes in when a code host tells of a push, and the secrets that sign it."""
