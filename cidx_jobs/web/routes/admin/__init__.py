"""The routes of administrators: tokens, limits, pauses, clean-up, counts, the doctor."""

from cidx_jobs.web.http.route import Group

ADMIN = Group("admin", "For administrators.")
"""The chapter of the document about them."""
