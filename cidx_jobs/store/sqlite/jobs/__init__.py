"""How jobs are stored: their rows and log, checkpoints and keys; writes, lists and expiry."""
