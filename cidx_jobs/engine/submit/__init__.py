"""How a submit becomes a job: checks, defaults, and the line of its project."""
