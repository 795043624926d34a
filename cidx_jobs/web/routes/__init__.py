"""What each route does: one module for each subject of the API."""
