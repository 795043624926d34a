"""A request that was checked: its members, its options by its type, its URL for the end."""

import msgspec
from msgspec.structs import replace

from cidx_jobs.engine.state.board import Board
from cidx_jobs.engine.submit.checks import check_request
from cidx_jobs.interfaces.store.end_notices import EndNoticeStore
from cidx_jobs.interfaces.store.projects import ProjectStore
from cidx_jobs.job_types import JobType, JobTypes
from cidx_jobs.model.errors import ValidationError
from cidx_jobs.model.job.job import JsonObject
from cidx_jobs.model.job.submit import SubmitRequest
from cidx_jobs.model.listing import Project
from cidx_jobs.model.webhooks.notify_url import find_fault
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.shares import Shares
from cidx_jobs.settings import Settings

CHECKS_PER_USER = 1
"""How many options of one user are held against a JSON Schema at a time."""


class CheckedRequest(msgspec.Struct, frozen=True):
    """A request that may be stored as a job."""

    request: SubmitRequest
    """With its options as its type completed them."""
    job_type: JobType
    project: Project | None
    """What it says of its project, stored with the job; None where that is nothing."""


class RequestChecks:
    """Takes a request as its type wants it, or refuses it; nothing is stored."""

    def __init__(
        self, *, settings: Settings, job_types: JobTypes, board: Board, projects: ProjectStore,
        notices: EndNoticeStore,
    ) -> None:  # fmt: skip
        """Take the rules, and what is known of projects and of secrets."""
        self._settings = settings
        self._job_types = job_types
        self._board = board
        self._projects = projects
        self._notices = notices
        self._turns = Shares(CHECKS_PER_USER)

    async def check_ahead(self, request: SubmitRequest) -> None:
        """Check a request whatever else may be otherwise by the time at which it is submitted.

        Its project and its user's secret for notices are not looked at.

        Raises:
            ValidationError: a member is wrong (`UnknownJobTypeError` for the type).
        """
        await self._check_options(request, self._check_members(request))

    async def check(self, request: SubmitRequest) -> CheckedRequest:
        """Return the request with its options completed, and what it says of its project.

        Raises:
            ValidationError: a member is wrong (`UnknownJobTypeError` for the type).
        """
        job_type = self._check_members(request)
        if request.notify is not None:
            await self._check_notify(request, request.notify)
        # Most types need neither the store nor a thread, and a submit of theirs does not wait.
        if job_type.admit is None and not job_type.checks_slowly:
            options, project = job_type.check_options(request.options), None
        else:
            options, project = await self._admit_options(request, job_type)
        if options is not request.options:
            request = replace(request, options=options)
        return CheckedRequest(request, job_type, project)

    def _check_members(self, request: SubmitRequest) -> JobType:
        job_type = self._job_types[request.job_type]
        check_request(request, self._board.slots.limits, self._settings.max_timeout_seconds)
        return job_type

    async def _check_notify(self, request: SubmitRequest, url: str) -> None:
        fault = find_fault(url, self._settings.webhook_allowed_hosts)
        if fault is None and await self._notices.find_secret(request.user_id) is None:
            how = "cidx-jobs notify-secret, or POST /api/notify-secret"
            fault = f"there is no secret to sign it with: make one first ({how})"
        if fault is not None:
            raise ValidationError.at("/notify", fault)

    async def _admit_options(
        self, request: SubmitRequest, job_type: JobType
    ) -> tuple[JsonObject, Project | None]:
        options = await self._check_options(request, job_type)
        if job_type.admit is None:
            return options, None
        known = await self._projects.load_project(request.user_id, request.project_id)
        admitted = job_type.admit(
            options,
            known or Project(user_id=request.user_id, project_id=request.project_id),
        )
        return admitted.options, admitted.project

    async def _check_options(self, request: SubmitRequest, job_type: JobType) -> JsonObject:
        if not job_type.checks_slowly:
            return job_type.check_options(request.options)
        # A JSON Schema may take seconds over hostile options: off the loop, and one at a time of
        # each user, so that nobody keeps all processors from the rest.
        async with self._turns.turn(request.user_id):
            return await in_own_thread(job_type.check_options, request.options)
