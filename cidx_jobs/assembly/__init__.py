"""How the parts of a system are put together over an open store, and examined together."""
