"""Options of a class: a wrong or unknown member is refused at the submit, and says where."""

import attrs

from cidx_jobs import JobContext, JobSystem, Settings, ValidationError, job_type


@attrs.frozen
class Resize:
    """What a submit must say."""

    picture: str
    width: int = 640


@job_type("resize", options=Resize)
async def resize(context: JobContext[Resize]) -> dict[str, int]:
    """Give the width that was asked for."""
    return {"width": context.options.width}


# Submit what fits, and what does not.
with JobSystem(Settings(data_dir="data"), [resize]).in_thread() as jobs:
    print(jobs.run("me", "shop", job_type=resize, options=Resize("a.png")))
    for wrong in ({"picture": "a.png", "width": "wide"}, {"picture": "a.png", "depth": 1}):
        try:
            jobs.submit("me", "shop", job_type=resize, options=wrong)
        except ValidationError as error:
            print(error.faults[0].pointer)
