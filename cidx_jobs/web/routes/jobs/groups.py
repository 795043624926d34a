"""The chapters of the document that the routes of jobs stand in, and answers with one job."""

from cidx_jobs.web.http.route import Group, Reply
from cidx_jobs.wire.encode import Document

JOBS = Group("jobs", "Submit, watch and steer jobs.")
EVENTS = Group("events", "The transition log, and live streams of it.")

TAGGED = ("ETag", "Retry-After")
"""The headers of every answer that shows one job."""


def tagged_reply(status: int, about: str, example: Document) -> Reply:
    """Return an answer with one job."""
    return Reply(status, about, example, headers=TAGGED)
