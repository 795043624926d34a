"""What a job does: the repository sync, from git to a searchable index."""
