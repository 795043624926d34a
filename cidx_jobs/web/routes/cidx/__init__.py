"""The routes that the client of CIDX asks besides those of everybody (api.md 1.9)."""
