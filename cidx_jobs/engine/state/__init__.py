"""What is in memory: the board, the cache of jobs, and the record of every change."""
