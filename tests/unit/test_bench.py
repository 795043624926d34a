"""The measuring itself: turns, medians, ratios and goals."""

import json
import os
import sqlite3
import sys
from pathlib import Path

import attrs
import pytest

from bench import peers
from bench.__main__ import ONLY_BY_NAME, topics
from bench.harness import Bench, Figure, Goal, rounds_wanted, table
from bench.probe import probe_cpu_seconds


def test_sides_run_in_turn_and_the_warm_up_is_dropped() -> None:
    """Two sides of two rounds run A B A B after one unmeasured A B."""
    order: list[str] = []

    def side(name: str) -> float:
        order.append(name)
        return float(len(order))

    taken = Bench("turns", rounds=2).paired(
        {"a": lambda: side("a"), "b": lambda: side("b")}, unit="s"
    )

    assert order == ["a", "b"] * 3
    assert taken["a"].values == (3.0, 5.0)


async def test_sides_of_one_loop_run_in_turn() -> None:
    """What holds for `paired` holds for `paired_async`."""
    order: list[str] = []

    async def side(name: str) -> float:
        order.append(name)
        return 1.0

    await Bench("turns", rounds=1).paired_async(
        {"a": lambda: side("a"), "b": lambda: side("b")}, unit="s", warm_up=0
    )

    assert order == ["a", "b"]


def test_a_ratio_is_taken_round_by_round() -> None:
    """A round that was slow for both sides does not move the ratio."""
    bench = Bench("ratios", rounds=3)
    ours = bench.figure("ours", [2.0, 20.0, 4.0], unit="s")
    probe = bench.figure("probe", [1.0, 10.0, 2.0], unit="s")

    assert bench.ratio("ours / probe", ours, probe).values == (2.0, 2.0, 2.0)


def test_a_figure_prints_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The line holds median, spread, goal and whether it is met."""
    Bench("lines", settings={"files": 3}).figure(
        "rate", [10.0, 40.0, 20.0], unit="1/s", at_least=30
    )

    (line,) = capsys.readouterr().out.splitlines()
    document = json.loads(line)
    assert (document["median"], document["spread"]) == (20.0, 1.5)
    assert (document["goal"], document["met"]) == (">= 30", False)
    assert document["settings"] == {"files": 3}


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [
        (Goal(at_least=2), 2, True),
        (Goal(at_least=2), 1.9, False),
        (Goal(at_most=2), 2, True),
        (Goal(at_most=2), 2.1, False),
        (Goal(at_least=1, at_most=2), 1.5, True),
    ],
    ids=str,
)
def test_a_goal_holds_at_its_bounds(goal: Goal, value: float, met: bool) -> None:
    """Bounds are inclusive."""
    assert goal.is_met_by(value) is met


def test_the_table_names_a_missed_goal() -> None:
    """A missed goal is called MISSED in the line of its figure."""
    figure = Figure(topic="t", name="slow", unit="s", values=(3.0,), goal=Goal(at_most=1))

    assert "slow" in table([figure.document()]).splitlines()[-1]
    assert table([figure.document()]).endswith("MISSED")


def test_rounds_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """BENCH_ROUNDS sets how often each side runs."""
    monkeypatch.setenv("BENCH_ROUNDS", "7")

    assert rounds_wanted() == 7


def test_the_frozen_probe_stores_whole_jobs(tmp_path: Path) -> None:
    """Each of its jobs is completed, has four rows in the log, and is counted."""
    seconds = probe_cpu_seconds(tmp_path, jobs=25, users=3, batch=10)

    db = sqlite3.connect(tmp_path / "probe.db")
    (jobs,) = db.execute("SELECT count(*) FROM jobs WHERE status = 'completed'").fetchone()
    rows = db.execute("SELECT count(*), count(DISTINCT job_id), max(seq) FROM events").fetchone()
    (counted,) = db.execute("SELECT sum(jobs) FROM finals").fetchone()
    batches = db.execute("SELECT batch, sequence FROM owner").fetchone()
    db.close()
    assert seconds > 0
    assert (jobs, counted) == (25, 25)
    assert rows == (100, 25, 100)
    assert batches == (9, 100)


def test_every_peer_is_pinned_and_has_its_program() -> None:
    """What is measured is the same next year; and it is asked only by name."""
    programs = {peer.program for peer in peers.PEERS}

    assert all(program.is_file() for program in programs)
    assert set(programs) == set((peers.HERE / "peer_programs").glob("peer_*.py"))
    assert all("==" in each for peer in peers.PEERS for each in peer.requirements)
    assert "peers" in topics()
    assert "peers" in ONLY_BY_NAME


def test_a_peer_that_does_not_end_well_says_so() -> None:
    """It is left out of the table with its reason, and the others are measured."""
    broken = attrs.evolve(peers.OURS, name="nobody_knows")

    with pytest.raises(peers.PeerMissingError, match="nobody_knows, rate"):
        peers.Ready(broken, sys.executable, dict(os.environ)).measure("rate", 1)


@pytest.mark.slow
def test_an_orphan_of_ours_begins_again() -> None:
    """The round that shows who is durable shows it of ourselves."""
    ours = peers.Ready(peers.OURS, sys.executable, dict(os.environ))

    assert ours.orphan_seconds() < peers.ORPHAN_SECONDS
