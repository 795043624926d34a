"""The routes of projects: what is known of them, and the search of their index."""
