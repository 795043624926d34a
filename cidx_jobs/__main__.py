"""``python -m cidx_jobs``: the same as the command ``cidx-jobs``."""

from cidx_jobs.cli.main import main

if __name__ == "__main__":
    main()
