"""A job at seven in the morning of each working day in Berlin, in summer and in winter."""

import asyncio
from zoneinfo import ZoneInfo

from cidx_jobs import JobContext, JobSystem, Schedule, Settings, job_type

WHEN, ZONE = "0 7 * * MON-FRI", "Europe/Berlin"


@job_type("report")
async def report(context: JobContext) -> None:
    """Make the report of the day."""


async def main() -> None:
    """Declare the schedule, and ask when it is next due."""
    daily = Schedule("daily", "me", "reports", job_type="report", cron=WHEN, timezone=ZONE)
    async with JobSystem(Settings(data_dir="data"), [report], schedules=[daily]) as jobs:
        due = (await jobs.schedules.get("me", "daily")).next_at[0]
        print(due.astimezone(ZoneInfo(ZONE)).hour)


asyncio.run(main())
