"""The routes of jobs: who submits, lists, watches, changes and follows them."""
