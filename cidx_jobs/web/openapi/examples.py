"""Made-up values that show what the documents look like; each is of the document's own type."""

from cidx_jobs.model.job.job import JobStatus, Transition
from cidx_jobs.web.openapi.examples_jobs import ALICE, JOB_ID, PLACE, PROJECT_ID, URL, at
from cidx_jobs.wire.events import EventDocument, EventListDocument
from cidx_jobs.wire.findings import DoctorDocument, FindingDocument, RecoveryDocument
from cidx_jobs.wire.job_parts import QueueDocument
from cidx_jobs.wire.projects import (
    ProjectDocument,
    ProjectListDocument,
    SearchDocument,
    SearchHitDocument,
)
from cidx_jobs.wire.server import (
    CleanupDocument,
    JobTypeDocument,
    JobTypeListDocument,
    LimitsDocument,
    PausesDocument,
    QuantilesDocument,
    QueueOverviewDocument,
    ResourceUseDocument,
    SlotsDocument,
    SlotUseDocument,
    StatsDocument,
    WaitingJobDocument,
)
from cidx_jobs.wire.tokens import NewTokenDocument, TokenDocument, TokenListDocument

_TOKEN_ID = "9f2c4e6a8b0d1f3e"  # noqa: S105 - names a token, and opens nothing
DATABASE_ID = "0b7e7bb8-1d4c-4d62-9c05-4f1b7b2f4f10"

EVENT = EventDocument.of(
    Transition(
        job_id=JOB_ID,
        user_id=ALICE,
        version=2,
        event="enqueue",
        from_status=JobStatus.CREATED,
        to_status=JobStatus.QUEUED,
        at=at(0, 0),
        attempt=0,
        run=0,
        sequence=1021,
    )
)
EVENT_LIST = EventListDocument(events=(EVENT,), next_cursor=None)
STREAM = (
    'id: 1022\nevent: transition\ndata: {"seq":1022,"job_id":"' + JOB_ID + '","version":3,'
    '"event":"start","from":"queued","to":"running","at":"2026-01-31T12:00:04Z","attempt":1,'
    '"reason":null}\n\n'
)

LIMITS = LimitsDocument(
    max_running_per_user=10,
    max_running_total=50,
    max_queued_per_user=1_000,
    max_queued_total=100_000,
    resources={"git": 5, "indexing": 10},
    max_priority=9,
    user_max_priorities={},
)
QUEUE = QueueOverviewDocument(
    limits=LIMITS,
    running=SlotsDocument(user=10, total=12, resources={"git": 3, "indexing": 9}),
    queued=10,
    jobs=(
        WaitingJobDocument(
            job_id=JOB_ID,
            job_type="repository_sync",
            project_id=PROJECT_ID,
            status=JobStatus.QUEUED,
            priority=5,
            queue=QueueDocument.of(PLACE),
        ),
    ),
)
JOB_TYPES = JobTypeListDocument(
    job_types=(
        JobTypeDocument(
            name="reindex",
            exclusive=False,
            max_attempts=3,
            timeout_seconds=3600,
            on_interrupt="resume",
            resources=("indexing",),
            options_schema={"type": "object"},
        ),
    )
)
PROJECT = ProjectDocument(
    project_id=PROJECT_ID,
    user_id=ALICE,
    repository_url=URL,
    branch="main",
    default_branch="main",
    last_commit="6dcb09b5b57875f334f61aebed695e2e4193db5e",
    last_synced_at=at(3, 2),
    last_job_id=JOB_ID,
    files_indexed=500,
    repository_bytes=4_194_304,
    index_bytes=9_437_184,
)
PROJECT_LIST = ProjectListDocument(projects=(PROJECT,))
SEARCH = SearchDocument(
    project_id=PROJECT_ID,
    query="def main",
    hits=(SearchHitDocument(path="src/api.py", line_number=42, line="def main() -> None:"),),
    limit=50,
)

STATS = StatsDocument(
    database_id=DATABASE_ID,
    by_status={"completed": 120, "running": 12, "queued": 10},
    by_type={"repository_sync": 142},
    by_user={"alice": 100, "bob": 42},
    wait_seconds=QuantilesDocument(p50=0.4, p95=31.0),
    run_seconds=QuantilesDocument(p50=12.5, p95=180.0),
    sample=120,
    slots=SlotUseDocument(
        running=12,
        max_running_total=50,
        max_running_per_user=10,
        users={"alice": 10, "bob": 2},
        resources={"git": ResourceUseDocument(used=3, limit=5, waiting=0)},
    ),
    pauses=PausesDocument(everything=False, users=(), job_types=(), draining=False),
    waiters=4,
    database_bytes=1_048_576,
    wal_bytes=65_536,
    last_seq=1022,
    recovery=RecoveryDocument(
        unfinished=0, interrupted=0, cancelled=0, poisoned=0, killed_processes=0, swept_files=0
    ),
)
DOCTOR = DoctorDocument(
    ok=False,
    database_id=DATABASE_ID,
    findings=(
        FindingDocument(
            kind="children", message="process 4711 of server start 12 has no run", job_id=None
        ),
    ),
    notes=(),
)
PAUSES = PausesDocument(everything=False, users=("bob",), job_types=(), draining=False)
NOTHING_PAUSED = PausesDocument(everything=False, users=(), job_types=(), draining=False)
DRAINING = PausesDocument(everything=False, users=(), job_types=(), draining=True)
CLEANUP = CleanupDocument(matched=120, deleted=120, dry_run=False)
TOKEN = TokenDocument(
    token_id=_TOKEN_ID,
    user_id=ALICE,
    scope="write",
    label="laptop",
    created_at=at(0, 0),
    expires_at=None,
    last_used_at=at(2, 0),
)
TOKEN_LIST = TokenListDocument(tokens=(TOKEN,))
NEW_TOKEN = NewTokenDocument(
    token="cidxj_" + "0" * 43,
    token_id=_TOKEN_ID,
    user_id=ALICE,
    scope="write",
    label="laptop",
    created_at=at(0, 0),
    expires_at=None,
)
