"""What the job type `repository_sync` does, phase by phase."""
