"""How child processes are started, bounded, watched, and ended with all that they started."""
