"""The routes of the API as methods, by subject."""
