"""Who is next: the dispatch order, fair turns, slots, and why a job waits."""
