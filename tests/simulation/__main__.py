"""``python -m tests.simulation [--seeds N] [--first S] [--seed S]``: lives one after the other."""

import argparse
import sys
import time
import traceback

from tests.simulation.world import find_fault


def main() -> int:
    """Live the seeds; print each fault with its seed, and give how many there were."""
    arguments = _parse()
    began, faults = time.monotonic(), 0
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        fault = find_fault(seed)
        if fault is not None:
            faults += 1
            _say(f"seed {seed}: {type(fault.error).__name__}: {fault.error}")
            if arguments.seeds == 1:
                traceback.print_exception(fault.error)
    seconds = time.monotonic() - began
    _say(f"{arguments.seeds} seeds from {arguments.first}: {faults} faults, {seconds:.0f} s")
    return min(faults, 1)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=2_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, help="live this one again, and show where it broke")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        arguments.first, arguments.seeds = arguments.seed, 1
    return arguments


if __name__ == "__main__":
    sys.exit(main())
