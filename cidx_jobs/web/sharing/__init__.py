"""Several processes on one data directory: one owns it, the others ask that one."""
