"""The routes of webhooks: push hooks, what comes to them, and the secret of notices."""
