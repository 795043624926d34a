"""Chains of children over kills: each link is made once, and every chain comes to its end."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.recovery.family_victim import CHAINS, WIDTH

ROOT = Path(__file__).parents[2]
SEED = int(os.environ.get("FAMILY_SEED", "20261201"))
KILLS = int(os.environ.get("FAMILY_KILLS", "8"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def live(data_dir: Path, kill_after: float | None) -> str:
    """Let the victim live, until it is done or for so many seconds; give what it said."""
    victim = subprocess.Popen(
        [sys.executable, "-m", "tests.recovery.family_victim", str(data_dir)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert victim.stdout is not None
    first = victim.stdout.readline()
    if kill_after is not None:
        time.sleep(kill_after)  # the moment of death, not a wait for something
        victim.send_signal(signal.SIGKILL)
    return first + victim.communicate(timeout=60)[0]


def test_chains_are_exact_over_kills(tmp_path: Path) -> None:
    """However often the program dies: no link is lost, and none is made twice."""
    moments = random.Random(SEED)  # noqa: S311 - it chooses moments, not secrets
    said = ""
    for _ in range(KILLS):
        said = live(tmp_path / "data", moments.uniform(0.0, 0.12))
        if "done" in said:
            break

    said = live(tmp_path / "data", None)

    # Each chain: two single links, and WIDTH at its end.
    below = 2 + WIDTH
    assert said.splitlines()[-1] == f"done {[below] * CHAINS} {CHAINS * (below + 1)} []", (
        f"FAMILY_SEED={SEED}"
    )
