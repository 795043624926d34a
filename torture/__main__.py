"""Torture a server: ``python -m torture NAME [--rounds N] [--seed S]``.

With ``kill --ways "term,term twice"`` it is stopped as an operator does, once or twice.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from cidx_jobs import Settings, setup_logging
from torture import damage, disk, history, hostile, io_faults, kill, power, soak, sweep
from torture.points import Point
from torture.skipping import SkippedError, must_not_skip

Torture = Callable[..., Coroutine[Any, Any, tuple[list[str], dict[str, Any]]]]

TORTURES: dict[str, tuple[Torture, int]] = {
    "damage": (damage.torture, 100),
    "disk": (disk.torture, 5),
    "history": (history.torture, 10_000),
    "hostile": (hostile.torture, 50_000),
    "io": (io_faults.torture, 20),
    "kill": (kill.torture, 20),
    "power": (power.torture, 10_000),
    "soak": (soak.torture, 1_000),
    "sweep": (sweep.torture, 0),
}
"""Each with its default number of rounds: calls of `history`, requests of `hostile`, images of
`power`, thousands of jobs of `soak`, points of `sweep` (0: all there are)."""

_MOST_SHOWN = 40


def main() -> int:
    """Run the torture that is named; give 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("torture", choices=sorted(TORTURES))
    parser.add_argument("--rounds", type=int, help="how many; the more, the surer")
    parser.add_argument("--seed", type=int, help="the one of the run that is to be repeated")
    parser.add_argument("--handlers", default="torture.jobs:TYPES", help="a planted bug")
    parser.add_argument(
        "--ways", help=f"of `kill`: how the server dies, in turn, of {', '.join(kill.WAYS)}"
    )
    parser.add_argument("--only", help="of `sweep`: points as it names them, with commas between")
    parser.add_argument(
        "--parallel", type=int, default=1, help="of `kill`, `power`, `sweep`: how many at a time"
    )
    parser.add_argument(
        "--synchronous",
        choices=["FULL", "NORMAL"],
        default="FULL",
        help="of `power`: the setting of the recorded server; with NORMAL jobs have to be lost",
    )
    wanted = parser.parse_args()
    # What a system inside this process logs; the servers' own logs are read, not shown.
    setup_logging(Settings(log_level="warning"))
    torture, default = TORTURES[wanted.torture]
    more = _more(parser, wanted)
    rounds = wanted.rounds or default
    seed = random.randrange(2**32) if wanted.seed is None else wanted.seed
    more_text = f' --ways "{wanted.ways}"' if wanted.ways else ""
    more_text += f" --only {wanted.only}" if wanted.only else ""
    more_text += f" --synchronous {wanted.synchronous}" if wanted.synchronous != "FULL" else ""
    more_text += f" --parallel {wanted.parallel}" if wanted.parallel != 1 else ""
    print(f"torture {wanted.torture} --rounds {rounds} --seed {seed}{more_text}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        try:
            faults, counts = asyncio.run(
                torture(Path(folder), rounds=rounds, seed=seed, handlers=wanted.handlers, **more)
            )
        except SkippedError as error:
            print(f"SKIPPED {error}")
            return 1 if must_not_skip() else 0
    for fault in faults[:_MOST_SHOWN]:
        print(f"BROKEN {fault}")
    counts |= {"seconds": round(time.monotonic() - began, 1), "broken": len(faults)}
    print(json.dumps(counts))
    return 1 if faults else 0


def _more(parser: argparse.ArgumentParser, wanted: argparse.Namespace) -> dict[str, Any]:
    ways = wanted.ways.split(",") if wanted.ways else []
    if ways and (wanted.torture != "kill" or not set(ways) <= set(kill.WAYS)):
        parser.error(f"--ways is for kill: {', '.join(kill.WAYS)}, separated by commas")
    if wanted.only and wanted.torture != "sweep":
        parser.error("--only is for sweep")
    if wanted.parallel != 1 and wanted.torture not in {"kill", "power", "sweep"}:
        parser.error("--parallel is for kill, power and sweep")
    if wanted.synchronous != "FULL" and wanted.torture != "power":
        parser.error("--synchronous is for power")
    more = {
        "kill": {"ways": ways, "parallel": wanted.parallel},
        "power": {"synchronous": wanted.synchronous, "parallel": wanted.parallel},
        "sweep": {"only": _points(parser, wanted.only), "parallel": wanted.parallel},
    }
    return more.get(wanted.torture, {})


def _points(parser: argparse.ArgumentParser, text: str | None) -> list[str]:
    points = text.split(",") if text else []
    try:
        for point in points:
            Point.parse(point)
    except ValueError as error:
        parser.error(f"--only takes points as first:log:flush:EIO:14: {error}")
    return points


if __name__ == "__main__":
    sys.exit(main())
