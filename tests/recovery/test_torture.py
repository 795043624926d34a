"""The tortures in small, and their teeth: each must find the bug that is planted for it.

The long forms are ``make torture-kill``, ``torture-disk``, ``torture-io``, ``torture-sweep``,
``torture-history``, ``torture-damage``, ``torture-power``, ``torture-soak`` and
``torture-hostile``.
"""

import asyncio
import re
from pathlib import Path
from typing import NoReturn

import pytest

from cidx_jobs.store.sqlite.open.migrations import load_migrations
from torture import damage, disk, history, hostile, io_faults, kill, power, soak, sweep
from torture.skipping import SkippedError, must_not_skip

# Each starts several servers, in turn.
pytestmark = [pytest.mark.slow, pytest.mark.torture, pytest.mark.timeout(240)]

# Each step of the schema is a commit of its own.
FLUSHES_OF_A_FIRST_START = len(load_migrations())


async def test_nothing_acknowledged_is_lost_however_a_server_ends(tmp_path: Path) -> None:
    """During a start, right after an answer, by SIGTERM twice, or to all at once.

    And with a fork that outlives it, and with threads that outlast their runs.
    """
    ways = ("start", "answer", "term twice", "fork", "thread", "term to all")

    broken, counts = await kill.torture(tmp_path, rounds=len(ways), seed=11, ways=ways)

    assert broken == []
    assert counts["jobs"] > 5
    assert counts["times"] > 100
    assert counts["recovered"]["killed_processes"] > 0
    assert counts["backups"] > 0


async def test_as_first_process_it_loses_nothing_and_reaps_what_jobs_leave(
    tmp_path: Path,
) -> None:
    """In a namespace, which the kernel ends with its first process."""
    try:
        broken, counts = await kill.torture(tmp_path, rounds=1, seed=13, ways=["first process"])
    except SkippedError as error:
        skip(error)

    assert broken == []
    assert counts["deaths"]["first process"] == 1


async def test_four_processes_that_share_and_are_killed_keep_every_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Owners and members die at random; waits and events go on, and each submit makes one job."""
    # The bound itself has a test of its own, which does nothing else meanwhile.
    monkeypatch.setattr("torture.shared.TAKEOVER_SECONDS", 10.0)
    monkeypatch.setattr("torture.shared.KILLS", 3)

    broken, counts = await kill.torture(tmp_path, rounds=1, seed=13, ways=["shared"])

    assert broken == []
    assert counts["shared_owners_killed"] > 0
    assert counts["shared_waits"] > 5
    assert counts["shared_follows"] > 0
    assert len(counts["takeover_seconds"]) == 2


async def test_a_way_that_cannot_be_gone_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without namespaces the mix leaves it out and says so; who asks for it by name is refused."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("torture.first_process._COMMANDS", (("no-such-program",),))

    broken, counts = await kill.torture(tmp_path, rounds=0, seed=11)
    with pytest.raises(SkippedError):
        await kill.torture(tmp_path, rounds=1, seed=11, ways=["first process"])
    monkeypatch.setenv("CI", "1")
    faults, _ = await kill.torture(tmp_path / "ci", rounds=0, seed=11)

    assert (broken, len(faults)) == ([], 1)
    assert counts["left_out"].keys() == {"first process"}
    assert capsys.readouterr().out.startswith("LEFT OUT first process: ")


async def test_a_full_disk_loses_nothing_and_passes(tmp_path: Path) -> None:
    """Submits are refused, reads go on, and all goes on when space is back."""
    try:
        broken, counts = await disk.torture(tmp_path, rounds=2, seed=11)
    except SkippedError as error:
        skip(error)

    assert broken == []
    assert counts["refused"].keys() <= disk.FULL
    assert sum(counts["refused"].values()) > 0
    assert counts["unready"].keys() <= {"storage_unavailable"}


async def test_a_call_that_fails_loses_nothing(tmp_path: Path) -> None:
    """EIO, ENOSPC or death at a write or a flush of the server."""
    try:
        broken, counts = await io_faults.torture(tmp_path, rounds=1, seed=121)
    except SkippedError as error:
        skip(error)

    assert broken == []
    assert counts["started"] > 0


async def test_one_call_that_fails_or_kills_loses_nothing(tmp_path: Path) -> None:
    """The flush of a commit fails; a restart ends in the write of its mark."""
    points = (
        f"first:log:flush:EIO:{FLUSHES_OF_A_FIRST_START + 5}",
        "again:mark:write:KILL:2",
    )
    try:
        broken, counts = await sweep.torture(tmp_path, rounds=0, seed=11, only=points)
    except SkippedError as error:
        skip(error)

    assert broken == []
    assert counts["reached"] == len(points)
    assert counts["storage_failed"] > 0


async def test_every_hurt_file_is_refused_untouched_or_harmless(tmp_path: Path) -> None:
    """Cut, cut out of, a byte of a header, the log or the database lost, an older copy."""
    broken, counts = await damage.torture(tmp_path, rounds=30, seed=11)

    assert broken == []
    assert sum(count for name, count in counts.items() if "refused" in name) > 20


async def test_a_power_cut_at_any_moment_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Two lives are recorded; each image opens, and has every job as its answers said it."""
    try:
        broken, counts = await power.torture(tmp_path, rounds=100, seed=11, lives=("stop", "kill"))
    except SkippedError as error:
        skip(error)

    assert broken == []
    assert (counts["images"], counts["lost"], counts["doubled"]) == (100, 0, 0)
    assert counts["served"] > 0
    assert counts["jobs"] > 5


async def test_readers_see_one_history_over_restarts(tmp_path: Path) -> None:
    """Over kill -9 and SIGTERM no version goes back, and no long-poll sleeps through a change."""
    broken, counts = await history.torture(tmp_path, rounds=200, seed=11)

    assert broken == []
    assert counts["deaths"].keys() == {"kill", "term"}
    assert counts["polls"] > 20


async def test_a_hostile_host_and_hostile_requests_break_nothing(tmp_path: Path) -> None:
    """Some tricks of a git host, and some hundred requests without log-in and with tokens."""
    tricks = ("good", "packs elsewhere", "too large", "garbled", "swelling")

    broken, counts = await hostile.torture(
        tmp_path, rounds=600, seed=11, handlers="torture.jobs:TYPES", tricks=tricks
    )

    assert broken == []
    assert counts["requests"] == 600
    assert counts["answers"].keys() >= {"200", "400", "401", "404", "422"}
    assert counts["syncs"].keys() == {"completed", "failed"}


# The moment at which each planted bug must show, and what is said of it.
TEETH = {
    "fired_apart": ("work", "of schedule tick"),
    "answer_early": ("lone answer", "is lost|the database ends at event"),
    "slot_early": ("work", "ran at a time"),
    "lost_checkpoint": ("saved", "lost a checkpoint"),
    "blind_sweep": ("tree", "processes of older servers live"),
    "kept_lock": ("fork", "nothing can be started|does not start"),
    "thread_left": ("thread", "ran twice at a time"),
    "hasty_failure": ("term to all", "counts as failed"),
    "late_successor": ("shared", "a takeover took"),
    "deaf_member": ("shared", "in a process that shares failed"),
}
PATIENCE_SECONDS = 60.0
"""Readers ask until one of them finds what is planted; a few seconds are the rule."""


@pytest.fixture
def slow_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow a start whatever time a busy machine takes: another bug than that is looked for."""
    monkeypatch.setattr("torture.server.READY_SECONDS", 90.0)


@pytest.mark.usefixtures("slow_starts")
@pytest.mark.parametrize("bug", TEETH)
async def test_the_planted_bug_is_found_by_kill_9(
    tmp_path: Path, bug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A torture that finds nothing wrong with it would find nothing at all."""
    # Jobs of such a server may never end, and nobody waits for them.
    monkeypatch.setattr("torture.ending.FINAL_SECONDS", 10.0)
    # Where processes share a directory: the owner dies, once.
    monkeypatch.setattr("torture.shared.KILLS", 1)
    handlers = f"torture.planted.{bug}:TYPES"
    way, fault = TEETH[bug]

    broken, _ = await kill.torture(tmp_path, rounds=1, seed=4, handlers=handlers, ways=[way])

    assert any(re.search(fault, text) for text in broken), broken


@pytest.mark.usefixtures("slow_starts")
async def test_a_first_process_that_reaps_nothing_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server takes its place itself, and what its jobs leave stays when it has ended."""
    monkeypatch.setattr("torture.first_process.REAPED_SECONDS", 1.0)
    try:
        broken, _ = await kill.torture(
            tmp_path,
            rounds=1,
            seed=4,
            ways=["first process"],
            program="torture.planted.unreaped",
        )
    except SkippedError as error:
        skip(error)

    assert any("are not reaped" in text for text in broken), broken


@pytest.mark.usefixtures("slow_starts")
async def test_a_writer_that_dies_is_found_by_a_full_disk(tmp_path: Path) -> None:
    """Nothing works when space is back, and that is told."""
    handlers = "torture.planted.dying_writer:TYPES"
    try:
        broken, _ = await disk.torture(tmp_path, rounds=1, seed=4, handlers=handlers)
    except SkippedError as error:
        skip(error)

    assert any("after space was back" in text for text in broken)


@pytest.mark.usefixtures("slow_starts")
async def test_a_commit_taken_for_stored_is_found_by_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flush fails, the caller is answered as if it had not, and what it was told is lost."""
    # Such a server may do the same over and over; nobody waits for its answers or its end.
    monkeypatch.setattr("torture.server.STOP_SECONDS", 0.5)
    monkeypatch.setattr("torture.server.ANSWER_SECONDS", 1.0)
    monkeypatch.setattr("torture.sweep._WAIT_SECONDS", 1)
    try:
        broken, _ = await sweep.torture(
            tmp_path,
            rounds=0,
            seed=4,
            handlers="torture.planted.taken_for_stored:TYPES",
            # The start of the first job, what is submitted beside it, or what it keeps: each was
            # told. A batch may take several, so that a point alone may meet none.
            only=[f"first:log:flush:EIO:{FLUSHES_OF_A_FIRST_START + more}" for more in (3, 4)],
        )
    except SkippedError as error:
        skip(error)

    lost = "of the log's numbers|ends at event|lost a checkpoint"
    assert any(re.search(lost, text) for text in broken), broken


async def test_jobs_that_no_flush_holds_are_found_by_power_cuts(tmp_path: Path) -> None:
    """With `synchronous=NORMAL` a commit is answered before it is on the disk."""
    try:
        broken, counts = await power.torture(
            tmp_path, rounds=60, seed=4, synchronous="NORMAL", lives=("kill",)
        )
    except SkippedError as error:
        skip(error)

    assert any("was acknowledged in version" in text for text in broken)
    assert counts["lost"] > 0


async def test_a_start_that_asks_no_mark_is_found_by_hurt_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that was rolled back, or lost its log, is taken, and jobs are lost."""
    monkeypatch.setattr("cidx_jobs.store.sqlite.open.damage_check.read_mark", lambda _: None)

    broken, _ = await damage.torture(tmp_path, rounds=6, seed=4)

    assert any("acknowledged and lost" in text for text in broken)


async def test_thousands_of_jobs_and_syncs_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of users on a real disk: memory, tasks, descriptors and files stay what they were."""
    # How long things take is no question for so short a run beside other tests.
    monkeypatch.setattr("torture.soak.MOST_SLOWER", 1_000.0)
    monkeypatch.setattr("torture.soak.MOST_WORK", 1_000.0)
    monkeypatch.setattr("torture.soak.PROJECTS", 10)

    broken, counts = await soak.torture(tmp_path, rounds=3, seed=11)

    assert broken == []
    assert (counts["jobs"], counts["projects"]) == (3_000, 10)
    assert len(counts["memory_mb"]) == 3


async def test_what_stays_of_each_job_is_found_by_the_soak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects and tasks that nobody lets go of."""
    kept: list[object] = []

    async def leak(*_: object) -> None:
        kept.extend([number] for number in range(100_000))
        kept.append(asyncio.create_task(asyncio.Event().wait()))

    monkeypatch.setattr(soak, "_round", leak)

    broken, _ = await soak.torture(tmp_path, rounds=3, seed=4)

    for task in kept:
        if isinstance(task, asyncio.Task):
            task.cancel()
    assert any("objects" in text for text in broken)
    assert any("tasks" in text for text in broken)


@pytest.mark.usefixtures("slow_starts")
async def test_a_stale_read_is_found_by_the_history(tmp_path: Path) -> None:
    """An answer from before a change, after somebody was told of it."""
    handlers = "torture.planted.stale_read:TYPES"

    broken, _ = await history.torture(
        tmp_path,
        rounds=200,
        seed=4,
        handlers=handlers,
        lives=1,
        linger_seconds=PATIENCE_SECONDS,
    )

    assert any("went back" in text for text in broken)


@pytest.mark.usefixtures("slow_starts")
async def test_a_lost_wake_is_found_by_the_history(tmp_path: Path) -> None:
    """A long-poll that sleeps on although somebody was told of the change."""
    broken, _ = await history.torture(
        tmp_path,
        rounds=100,
        seed=4,
        handlers="torture.planted.lost_wake:TYPES",
        lives=1,
        linger_seconds=PATIENCE_SECONDS,
        late_seconds=1.0,
        # What a poll slept through is known once it is answered.
        wait_seconds=2,
    )

    assert any("slept" in text for text in broken)


@pytest.mark.usefixtures("slow_starts")
@pytest.mark.parametrize(
    ("bug", "requests", "tricks", "fault"),
    [
        ("open_network", 0, ["packs elsewhere"], "had another host asked"),
        ("any_text", 300, ["good"], "a failure of the server"),
    ],
)
async def test_a_shield_that_is_taken_away_is_found(
    tmp_path: Path, bug: str, requests: int, tricks: list[str], fault: str
) -> None:
    """Another host is asked for a pack; text comes in that nothing can store or say."""
    broken, _ = await hostile.torture(
        tmp_path,
        rounds=requests,
        seed=8,
        handlers=f"torture.planted.{bug}:TYPES",
        tricks=tricks,
    )

    assert any(fault in text for text in broken), broken


def skip(error: SkippedError) -> NoReturn:
    """Skip, unless a machine for checks shall have what is lacking."""
    if must_not_skip():
        pytest.fail(f"cannot be skipped where CI is set: {error}")
    pytest.skip(str(error))
