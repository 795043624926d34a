"""A module of job types that cannot be loaded, whatever is asked of it."""

message = "there is no licence"
raise RuntimeError(message)
