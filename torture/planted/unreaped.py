"""The server itself is the first process of its namespace: it waits for its own children alone.

It is decided before any job type is loaded, so that this is a program and no list of types.
"""

from cidx_jobs.cli.commands import serve
from cidx_jobs.cli.main import main


def _be_first() -> None:
    """Leave nothing between the kernel and the server."""


if __name__ == "__main__":
    vars(serve)["serve_as_child_of_init"] = _be_first
    main()
