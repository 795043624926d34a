"""Idempotency keys: the job that a request made when its key came for the first time."""

from cidx_jobs.engine.state.board import Board
from cidx_jobs.engine.state.record import JobLedger
from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.model.errors import IdempotencyKeyReusedError, JobExpiredError, JobNotFoundError
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.submit import Submission, SubmitRequest
from cidx_jobs.model.listing import KEY_LIFETIME, IdempotencyRecord


class IdempotencyKeys:
    """Finds what keys stand for; they are stored in the transactions of their jobs."""

    def __init__(self, store: JobStore, ledger: JobLedger, board: Board) -> None:
        """Take the parts."""
        self._store = store
        self._ledger = ledger
        self._board = board

    async def find_replay(self, request: SubmitRequest) -> Submission | None:
        """Return the job that was stored when the request's key came for the first time.

        Raises:
            IdempotencyKeyReusedError: it came with another request.
            JobExpiredError: the job was deleted since.
        """
        key = request.request_key
        if key is None:
            return None
        not_before = self._board.clock.now() - KEY_LIFETIME
        record = await self._store.find_idempotency_record(request.user_id, key.key, not_before)
        if record is None:
            return None
        if record.fingerprint != key.fingerprint:
            raise IdempotencyKeyReusedError
        try:
            job = await self._ledger.load(record.job_id)
        except JobNotFoundError as error:
            raise JobExpiredError(record.job_id) from error
        return Submission(job=job, is_replayed=True)

    def make_record(self, request: SubmitRequest, job_id: JobId) -> IdempotencyRecord | None:
        """Return what is stored of the request's key with its job; None where it has none."""
        if request.request_key is None:
            return None
        return IdempotencyRecord(
            user_id=request.user_id,
            key=request.request_key.key,
            fingerprint=request.request_key.fingerprint,
            job_id=job_id,
            created_at=self._board.clock.now(),
        )
