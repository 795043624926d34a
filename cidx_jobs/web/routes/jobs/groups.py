"""The chapters of the document that the routes of jobs stand in, and what their paths name."""

from cidx_jobs.model.ids import JOB_ID_PATTERN
from cidx_jobs.web.http.route import Group, Parameter
from cidx_jobs.web.openapi import examples

JOBS = Group("jobs", "Submit, watch and steer jobs.")
EVENTS = Group("events", "The transition log, and live streams of it.")

JOB_ID = Parameter(
    "job_id",
    "The job; what is no id names none.",
    {"type": "string", "pattern": f"^{JOB_ID_PATTERN}$"},
    place="path",
    example=examples.JOB_ID,
)
TAGGED = ("ETag", "Retry-After")
"""The headers of every answer that shows one job."""
