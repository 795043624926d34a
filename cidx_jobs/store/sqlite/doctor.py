"""Consistency check of a database: rows against their log, counts and checkpoints.

Everything here blocks and only reads. It uses a connection of its own: on a large database it
takes seconds, for which no reader of lists should wait.
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import Any

from cidx_jobs.model.errors import StartRefusedError
from cidx_jobs.model.findings import Examination, Finding
from cidx_jobs.model.ids import JobId, make_lone_copy_id
from cidx_jobs.model.job.lifecycle import TRANSITIONS
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.copy_files import changed_at
from cidx_jobs.store.sqlite.commit.connection import read_only_uri
from cidx_jobs.store.sqlite.commit.known_rows import BLOCK_BITS
from cidx_jobs.store.sqlite.commit.transaction import Transaction
from cidx_jobs.store.sqlite.jobs.stored_bytes import BYTES_BY_USER
from cidx_jobs.store.sqlite.open.damage_check import inspecting
from cidx_jobs.store.sqlite.open.migrations import load_migrations
from cidx_jobs.store.sqlite.open.owner_lock import owning_database
from cidx_jobs.store.sqlite.open.possession import read_database_id

MAX_FINDINGS = 100
"""How many findings are given at most: after so many nobody reads on."""

MAX_DRIFT = 65_536
"""By how many bytes a user's figure may be off: an older version wrote rows a little longer."""

_FINE = [("ok",)]
_WITHOUT_LOG = """
SELECT job_id FROM jobs WHERE row NOT IN (SELECT job FROM log) ORDER BY row
"""
_WITHOUT_JOB = """
SELECT DISTINCT job FROM log WHERE job NOT IN (SELECT row FROM jobs) ORDER BY job
"""
# Progress makes versions that have no row in the log, but only while the job runs; the removal of
# a payload is one more, after the end.
_UNLIKE_LAST_ROW = """
SELECT jobs.job_id, jobs.status, jobs.version, jobs.run, to_status, log.version, log.run
FROM jobs JOIN log ON log.job = jobs.row AND log.version = (
    SELECT max(version) FROM log WHERE log.job = jobs.row
)
WHERE to_status <> status OR log.run <> jobs.run OR log.attempt <> jobs.attempt
OR log.version > jobs.version OR (
    status <> 'running' AND log.version <> jobs.version - (removed IS NOT NULL)
)
ORDER BY row
"""
_EDGES = """
SELECT job_id, event, from_status, to_status, log.version, lag(to_status) OVER line, seq,
lag(seq) OVER line FROM log CROSS JOIN jobs ON row = job
WINDOW line AS (PARTITION BY job ORDER BY log.version)
"""
_NUMBERS = """
SELECT owner.sequence, pruned_sequence, coalesce(max(seq), 0),
count(*) FILTER (WHERE seq > pruned_sequence) FROM owner LEFT JOIN log WHERE owner.id = 1
"""
_WRONG_COUNTS = """
SELECT user_id, job_type, status, sum(true_count), sum(kept_count) FROM (
    SELECT user_id, job_type, status, count(*) AS true_count, 0 AS kept_count FROM jobs
    WHERE finished_at IS NOT NULL GROUP BY user_id, job_type, status
    UNION ALL
    SELECT user_id, job_type, status, 0, jobs FROM finals
)
GROUP BY user_id, job_type, status HAVING sum(true_count) <> sum(kept_count)
"""
_WRONG_BYTES = f"""
SELECT user_id, counted.bytes, coalesce(stored_bytes.bytes, 0)
FROM ({BYTES_BY_USER}) AS counted LEFT JOIN stored_bytes USING (user_id)
WHERE abs(counted.bytes - coalesce(stored_bytes.bytes, 0)) > {MAX_DRIFT}
"""  # noqa: S608 - constants
_BLOCKS = f"SELECT DISTINCT user_id, seq >> {BLOCK_BITS} FROM log CROSS JOIN jobs ON row = job"  # noqa: S608
_LACKING_BLOCKS = f"{_BLOCKS} EXCEPT SELECT user_id, block FROM log_users"  # noqa: S608 - constants
_COUNT_ANEW = (
    "DELETE FROM finals",
    """
    INSERT INTO finals SELECT user_id, job_type, status, count(*) FROM jobs
    WHERE finished_at IS NOT NULL GROUP BY user_id, job_type, status
    """,
    "DELETE FROM stored_bytes",
    f"INSERT INTO stored_bytes {BYTES_BY_USER}",
    "DELETE FROM log_users",
    f"INSERT INTO log_users {_BLOCKS}",
)
_PROJECTS = "SELECT copy_id, user_id, project_id FROM projects"
# A first sync that is repeated after a crash names its copy at its end; what is nobody's for two
# days is removed within the hour.
_LEFT_ALONE_SECONDS = 3 * 86_400.0
_LOST_CHECKPOINTS = """
SELECT job_id FROM jobs WHERE checkpoint IS NOT NULL
AND job_id NOT IN (SELECT job_id FROM checkpoints) ORDER BY row
"""


def examine_directory(directory: DataDirectory, *, deep: bool = False) -> Examination:
    """Examine the database of a directory that no server owns; it is locked meanwhile.

    Raises:
        AlreadyOwnedError: a server owns it.
        StartRefusedError: there is none, or what it holds is damaged.
    """
    with owning_database(directory):
        try:
            with inspecting(directory, load_migrations()):
                with closing(_connect(directory)) as connection:
                    database_id = read_database_id(connection)
                findings = examine(directory, deep=deep)
                return Examination(database_id=database_id, findings=findings)
        except sqlite3.OperationalError as error:
            # As on a full disk: what helps a reader of the log cannot be written.
            message = f"{directory.database} cannot be read: {error}"
            raise StartRefusedError(message) from error


def examine(directory: DataDirectory, *, deep: bool = False) -> tuple[Finding, ...]:
    """Return what does not fit together in the directory, at most `MAX_FINDINGS`.

    Args:
        directory: also while a server writes to it: all rows are read in one transaction.
        deep: also compare every index with its table, which takes much longer.
    """
    found = set(directory.projects.glob("*/"))
    with closing(_connect(directory)) as connection:
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("BEGIN")
        findings = chain(_find_all(connection, deep=deep), _nobodys(connection, found))
        return tuple(islice(findings, MAX_FINDINGS))


def count_anew(transaction: Transaction) -> None:
    """Put right what is kept of the rows besides them: it reads all of them."""
    # What the batch has gathered so far is of rows that are counted here.
    transaction.flush()
    for statement in _COUNT_ANEW:
        transaction.execute(statement)
    transaction.forget_known()


def _connect(directory: DataDirectory) -> sqlite3.Connection:
    return sqlite3.connect(read_only_uri(directory.database), uri=True, isolation_level=None)


def _find_all(connection: sqlite3.Connection, *, deep: bool) -> Iterator[Finding]:
    yield from _damage(connection, deep=deep)
    yield from _unlike_their_log(connection)
    yield from _illegal_edges(connection.execute(_EDGES))
    yield from _wrong_numbers(connection)
    yield from _wrong_counts(connection)
    for (job_id,) in connection.execute(_LOST_CHECKPOINTS):
        text = f"the checkpoint of job {job_id} is missing"
        yield Finding(kind="checkpoints", message=text, job_id=job_id)


def _nobodys(connection: sqlite3.Connection, directories: set[Path]) -> Iterator[Finding]:
    if not directories:
        return
    projects = next(iter(directories)).parent
    known = {
        projects / (copy_id or make_lone_copy_id(*project))
        for copy_id, *project in connection.execute(_PROJECTS)
    }
    oldest = time.time() - _LEFT_ALONE_SECONDS
    for directory in sorted(directories - known):
        if 0 < changed_at(directory) < oldest:
            text = f"the directory {directory.name} of projects belongs to no project"
            yield Finding(kind="files", message=text)


def _damage(connection: sqlite3.Connection, *, deep: bool) -> Iterator[Finding]:
    check = "PRAGMA integrity_check" if deep else "PRAGMA quick_check"
    found = connection.execute(check).fetchall()
    if found != _FINE:
        for (text,) in found:
            yield Finding(kind="database", message=f"the database is damaged: {text}")
    for table, *_ in connection.execute("PRAGMA foreign_key_check"):
        text = f"a row of {table} belongs to nothing"
        yield Finding(kind="database", message=text)


def _unlike_their_log(connection: sqlite3.Connection) -> Iterator[Finding]:
    for (job_id,) in connection.execute(_WITHOUT_LOG):
        text = f"job {job_id} has no row in the log"
        yield Finding(kind="log", message=text, job_id=job_id)
    for (row,) in connection.execute(_WITHOUT_JOB):
        text = f"the log has rows of job number {row}, which does not exist"
        yield Finding(kind="log", message=text)
    for row in connection.execute(_UNLIKE_LAST_ROW):
        job_id, status, version, run, logged, logged_version, logged_run = row
        text = (
            f"job {job_id} is {status} at version {version} in run {run}, but its last row in the "
            f"log says {logged} at version {logged_version} in run {logged_run}"
        )
        yield Finding(kind="log", message=text, job_id=job_id)


def _illegal_edges(rows: Iterable[tuple[Any, ...]]) -> Iterator[Finding]:
    edges = {
        (None if before is None else before.value, event, after.value)
        for (before, event), after in TRANSITIONS.items()
    }
    for job_id, event, before, after, version, left, sequence, sequence_before in rows:
        is_edge = (before, event, after) in edges and before == left
        if is_edge and (sequence_before is None or sequence_before < sequence):
            continue
        text = (
            f"the log takes job {job_id} along {event} from {before} to {after} at version "
            f"{version}, where it was {left}"
        )
        yield Finding(kind="log", message=text, job_id=JobId(job_id))


def _wrong_numbers(connection: sqlite3.Connection) -> Iterator[Finding]:
    given, pruned, last, kept = connection.execute(_NUMBERS).fetchone()
    if last > given or kept != given - pruned:
        text = f"of the log's numbers {pruned + 1} to {given} only {kept} are there"
        yield Finding(kind="log", message=text)


def _wrong_counts(connection: sqlite3.Connection) -> Iterator[Finding]:
    for user_id, job_type, status, true, kept in connection.execute(_WRONG_COUNTS):
        text = f"{user_id} has {true} {job_type} jobs that are {status}, but {kept} are counted"
        yield Finding(kind="counts", message=text)
    for user_id, true, kept in connection.execute(_WRONG_BYTES):
        text = f"what is stored of {user_id} takes {true} bytes, but {kept} are counted"
        yield Finding(kind="counts", message=text)
    for user_id, block in connection.execute(_LACKING_BLOCKS):
        text = f"{user_id} does not find their rows in block {block} of the log"
        yield Finding(kind="counts", message=text)
