"""Projects, what is found in them, their push hooks, and the secret of notices."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, Self

import msgspec

from cidx_jobs.model.ids import JobId
from cidx_jobs.model.index import IndexState
from cidx_jobs.model.listing import Project
from cidx_jobs.model.schedules.polling import MAX_SYNC_SECONDS, MIN_SYNC_SECONDS
from cidx_jobs.model.webhooks.push_hook import PushDelivery
from cidx_jobs.wire import member_rules as rules
from cidx_jobs.wire.encode import Document, NextCursor
from cidx_jobs.wire.job_parts import ProjectIdMember, UserIdMember
from cidx_jobs.wire.member_rules import about
from cidx_jobs.wire.request_bodies import Body


class SyncErrorDocument(Document, frozen=True, kw_only=True):
    """Why a sync of a project failed."""

    code: Annotated[str, about("One of the error codes of jobs.")]
    message: Annotated[str, about("What was wrong.")]
    occurred_at: Annotated[datetime, about("When it failed.")]
    job_id: Annotated[JobId, about("The job.")]


class ProjectDocument(Document, frozen=True, kw_only=True):
    """What is known of one project of the caller; null where nothing is known yet."""

    project_id: ProjectIdMember
    user_id: UserIdMember
    repository_url: Annotated[str | None, about("Where the repository is.")]
    branch: Annotated[
        str | None, about("The branch that was asked for; null follows the default one.")
    ]
    default_branch: Annotated[str | None, about("What the remote last called its default branch.")]
    last_commit: Annotated[str | None, about("The commit that was last synced.")]
    last_synced_at: Annotated[datetime | None, about("When that was.")]
    last_job_id: Annotated[JobId | None, about("The job that did it.")]
    changed_at: Annotated[datetime | None, about("When a sync last found another commit.")] = None
    sync_every_seconds: Annotated[
        int | Literal["auto"] | None,
        about("How often its remote is asked for news; null is never."),
    ] = None
    files_indexed: Annotated[int | None, about("How many files the index holds.")]
    files_skipped: Annotated[
        dict[str, int] | None,
        about(
            "How many files of the last commit the index does not hold, by reason "
            "(as of `/skipped`); null without an index."
        ),
    ] = None
    repository_bytes: Annotated[int | None, about("The size of the copy.")]
    index_bytes: Annotated[int | None, about("The size of the index.")]
    last_error: Annotated[
        SyncErrorDocument | None, about("Why the last sync failed; null once one was good again.")
    ] = None

    @classmethod
    def of(cls, project: Project, state: IndexState | None) -> Self:
        """Return the document of a project and of what its index holds."""
        error = project.last_error
        return cls.like(
            project,
            files_skipped=None if state is None else state.skipped,
            last_error=None if error is None else msgspec.convert(error, SyncErrorDocument),
        )


class ChangeProjectBody(Body, frozen=True, kw_only=True, omit_defaults=False):
    """``PATCH /api/projects/{project_id}``: what is not there stays as it is, null is a change."""

    sync_every_seconds: Annotated[
        int | Literal["auto"] | None,
        about(
            f"{MIN_SYNC_SECONDS} to {MAX_SYNC_SECONDS}; `auto` for as often as it "
            "changes, a minute to eight hours; null for never."
        ),
    ] = None


class ProjectListDocument(Document, frozen=True, kw_only=True):
    """The caller's projects, by id."""

    projects: Annotated[tuple[ProjectDocument, ...], about("The projects.")]


class SearchHitDocument(Document, frozen=True, kw_only=True):
    """One line that holds the text."""

    path: Annotated[str, about("The file, from the root of the repository.")]
    line_number: Annotated[int, about("From 1.")]
    line: Annotated[str, about("The text of the line.")]


class SearchDocument(Document, frozen=True, kw_only=True):
    """What was found, by path, then line."""

    project_id: ProjectIdMember
    query: Annotated[str, about("What was looked for.")]
    hits: Annotated[tuple[SearchHitDocument, ...], about("The lines.")]
    limit: Annotated[int, about("How many lines there may be.", rules.FROM_ONE)]
    commit: Annotated[str, about("The commit that was searched.")]
    truncated: Annotated[bool, about("Whether there are more lines.")]
    next_cursor: NextCursor


class SkippedFileDocument(Document, frozen=True, kw_only=True):
    """A path of the commit that is not in the index."""

    path: Annotated[str, about("The file, from the root of the repository.")]
    reason: Annotated[
        str,
        about(
            "`binary`, `too_large` (over `max_file_bytes`), `encoding` (it is not in "
            "the one that its byte order mark names), `path` (no file system holds it, so the "
            "index program was not given it), `link` or `submodule`."
        ),
    ]
    bytes: Annotated[int | None, about("Its size; null for a submodule.")]


class SkippedListDocument(Document, frozen=True, kw_only=True):
    """What is not in the index, by path."""

    skipped: Annotated[tuple[SkippedFileDocument, ...], about("The paths.")]
    next_cursor: NextCursor


class NewPushHookDocument(Document, frozen=True, kw_only=True):
    """A hook whose secret was just made: the only time that it is shown."""

    url: Annotated[str, about("Where the code host is to send pushes.")]
    secret: Annotated[str, about("What it is to sign them with: `whsec_` and 32 bytes in base64.")]


class NotifySecretDocument(Document, frozen=True, kw_only=True):
    """The secret of a user's notices, just made: the only time that it is shown."""

    secret: Annotated[str, about("What signs them: `whsec_` and 32 bytes in base64.")]


class PushDeliveryDocument(Document, frozen=True, kw_only=True):
    """One delivery, and what came of it."""

    at: Annotated[datetime, about("When it came.")]
    sender: Annotated[
        str,
        about(
            "`github`, `gitea`, `forgejo`, `gitlab`, `bitbucket`, "
            "`bitbucket_data_center` or `generic`."
        ),
    ]
    kind: Annotated[str, about("`push`, `ping`, or the sender's word for the event.")]
    verdict: Annotated[
        str,
        about(
            "`submitted`, `joined` (a sync that waits) or `replayed`; `ping`, "
            "`other_event`, `other_branch`, `tag`, `deleted` or `no_branch`, where nothing was "
            "done; else the code of the error that it was answered with."
        ),
    ]
    job_id: Annotated[JobId | None, about("The sync that serves it.")]


class PushHookDocument(Document, frozen=True, kw_only=True):
    """The hook of a project, without its secret."""

    url: Annotated[str, about("Where the code host is to send pushes.")]
    deliveries: Annotated[
        tuple[PushDeliveryDocument, ...],
        about(
            "The last 20, newest first. Of those that nobody signed one is kept, and "
            "one a minute at most."
        ),
    ]

    @classmethod
    def of(cls, url: str, deliveries: Sequence[PushDelivery]) -> Self:
        """Return the document of a hook."""
        return cls(url=url, deliveries=tuple(map(PushDeliveryDocument.like, deliveries)))


class PushAnswerDocument(Document, frozen=True, kw_only=True):
    """What became of a delivery."""

    verdict: Annotated[str, about("As in the list of deliveries.")]
    reason: Annotated[str, about("The same in words.")]
    job_id: Annotated[
        JobId | None, about("The sync that serves the push; null where nothing is done.")
    ]
