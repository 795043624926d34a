"""What webhooks are: the push hook of a project, and what came to it."""
