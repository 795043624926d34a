"""How a command loads what it needs: without what other libraries take in and it never uses.

Only in a process that is the command's own, and until its work begins: `main` begins it by
putting the collection of garbage off, and `loaded` ends it. An application that imports
`cidx_jobs` gets every library as it is.
"""

import gc
import sys


def load_lightly() -> None:
    """Spare the imports that follow a tenth of a second; nothing where `main` is not."""
    if not gc.isenabled():
        # structlog takes rich in where it is installed, for tracebacks that we never let it draw.
        sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # what keeps a module out


def loaded() -> None:
    """Let everything be as in any other process, before the work of the command begins."""
    if gc.isenabled():
        return
    if "rich" in sys.modules and sys.modules["rich"] is None:
        del sys.modules["rich"]
    # What is loaded by now stays: it need not be looked through again and again.
    gc.freeze()
    gc.enable()
