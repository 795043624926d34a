"""What is stored besides jobs, as rows and back: projects, tokens, keys, checkpoints, controls."""

from datetime import datetime

import msgspec

from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.model.listing import Checkpoint, IdempotencyRecord, Project, Token
from cidx_jobs.store.sqlite.job_columns import (
    Row,
    from_json,
    from_microseconds,
    to_json,
    to_microseconds,
)

_read_limits = msgspec.json.Decoder(Limits).decode
_read_pauses = msgspec.json.Decoder(Pauses).decode


def encode_project(project: Project) -> Row:
    """Give the row of a project."""
    return (
        project.user_id,
        project.project_id,
        project.repository_url,
        project.branch,
        project.default_branch,
        project.last_commit,
        _moment(project.last_synced_at),
        project.last_job_id,
        project.files_indexed,
        project.repository_bytes,
        project.index_bytes,
        to_json(project.phase_seconds),
    )


def decode_project(row: Row) -> Project:
    """Give the project that a row holds."""
    return Project(
        user_id=UserId(row[0]),
        project_id=ProjectId(row[1]),
        repository_url=row[2],
        branch=row[3],
        default_branch=row[4],
        last_commit=row[5],
        last_synced_at=_time(row[6]),
        last_job_id=None if row[7] is None else JobId(row[7]),
        files_indexed=row[8],
        repository_bytes=row[9],
        index_bytes=row[10],
        phase_seconds=from_json(row[11]),
    )


def encode_token(token: Token) -> Row:
    """Give the row of a token."""
    return (
        token.token_id,
        token.user_id,
        token.scope,
        token.digest,
        to_microseconds(token.created_at),
        _moment(token.expires_at),
        _moment(token.last_used_at),
        token.label,
    )


def decode_token(row: Row) -> Token:
    """Give the token that a row holds."""
    return Token(
        token_id=row[0],
        user_id=UserId(row[1]),
        scope=row[2],
        digest=row[3],
        created_at=from_microseconds(row[4]),
        expires_at=_time(row[5]),
        last_used_at=_time(row[6]),
        label=row[7],
    )


def encode_idempotency(record: IdempotencyRecord) -> Row:
    """Give the row of an idempotency key."""
    return (
        record.user_id,
        record.key,
        record.fingerprint,
        record.job_id,
        to_microseconds(record.created_at),
    )


def decode_idempotency(row: Row) -> IdempotencyRecord:
    """Give the record that the row of a key holds."""
    return IdempotencyRecord(
        user_id=UserId(row[0]),
        key=row[1],
        fingerprint=row[2],
        job_id=JobId(row[3]),
        created_at=from_microseconds(row[4]),
    )


def encode_checkpoint(checkpoint: Checkpoint) -> Row:
    """Give the row of a checkpoint."""
    return (
        checkpoint.job_id,
        checkpoint.run,
        to_json(checkpoint.data),
        checkpoint.phase,
        to_microseconds(checkpoint.saved_at),
    )


def decode_checkpoint(row: Row) -> Checkpoint:
    """Give the checkpoint that a row holds."""
    return Checkpoint(
        job_id=JobId(row[0]),
        run=row[1],
        data=from_json(row[2]),
        phase=row[3],
        saved_at=from_microseconds(row[4]),
    )


def encode_controls(limits: Limits | None, pauses: Pauses) -> Row:
    """Give the limits and pauses as the two columns of `controls`."""
    return (None if limits is None else to_json(limits), to_json(pauses))


def decode_controls(row: Row | None) -> tuple[Limits | None, Pauses]:
    """Give the limits and pauses that are kept; nothing set when there is no row."""
    if row is None:
        return None, Pauses()
    limits, pauses = row
    return (None if limits is None else _read_limits(limits)), _read_pauses(pauses)


def _moment(at: datetime | None) -> int | None:
    return None if at is None else to_microseconds(at)


def _time(value: int | None) -> datetime | None:
    return None if value is None else from_microseconds(value)
