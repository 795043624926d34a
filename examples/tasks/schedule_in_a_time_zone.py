"""A job at seven in the morning of each working day in Berlin, in summer and in winter."""

from zoneinfo import ZoneInfo

from cidx_jobs import JobContext, JobSystem, Schedule, Settings, job_type

WHEN, ZONE = "0 7 * * MON-FRI", "Europe/Berlin"


@job_type("report")
async def report(context: JobContext) -> None:
    """Make the report of the day."""


# Declare the schedule, and ask when it is next due.
daily = Schedule("daily", "me", "reports", job_type=report, cron=WHEN, timezone=ZONE)
with JobSystem(Settings(data_dir="data"), [report], schedules=[daily]).in_thread() as jobs:
    due = jobs.schedules.get("me", "daily").next_at[0]
    print(due.astimezone(ZoneInfo(ZONE)).hour)
