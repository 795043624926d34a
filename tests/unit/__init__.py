"""One module at a time, without network, process or disk where possible."""
