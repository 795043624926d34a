"""What webhooks are: the push hook of a project, and the notice of a job's end."""
