"""The process that we are a part of: threads for blocking work of our own, forks, loggers."""
