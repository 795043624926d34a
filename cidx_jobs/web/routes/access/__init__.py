"""The routes of people: who has an account, and who logs in by it."""
