"""Of each tenant's jobs at most two run at a time, whatever the others do."""

import asyncio
from collections import Counter

from cidx_jobs import JobContext, JobSystem, Settings, job_type

running, most = Counter[str](), Counter[str]()


@job_type("call", limits=lambda options: {options["tenant"]: 2})
async def call(context: JobContext) -> None:
    """Note how many of the tenant run."""
    tenant = context.options["tenant"]
    running[tenant] += 1
    most[tenant] = max(most[tenant], running[tenant])
    await asyncio.sleep(0.1)
    running[tenant] -= 1


async def main() -> None:
    """Submit five jobs for each of two tenants."""
    async with JobSystem.open(Settings(data_dir="data"), [call]) as jobs:
        for tenant in ["red", "blue"] * 5:
            await jobs.submit("me", "calls", job_type=call, options={"tenant": tenant})
        await jobs.wait_until_idle()
        print(dict(most))


asyncio.run(main())
