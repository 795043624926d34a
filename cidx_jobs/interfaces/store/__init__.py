"""What is kept: a store for each kind, and the promises of its reads and writes."""
