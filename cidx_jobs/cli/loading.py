"""How a command loads what it needs: without what other libraries do at import and it never uses.

Only in a process that is the command's own, and until its work begins: `main` begins it by
putting the collection of garbage off, and `loaded` ends it. An application that imports
`cidx_jobs` gets every library as it is.
"""

import gc
import ssl
import sys

_unfilled: list[ssl.SSLContext] = []


def load_lightly() -> None:
    """Spare the imports that follow a tenth of a second or two; nothing where `main` is not."""
    if gc.isenabled():
        return
    # structlog takes rich in where it is installed, for tracebacks that we never let it draw.
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # what keeps a module out
    # As it is imported, aiohttp reads all certificates of the system, twice, into contexts for
    # connections over TLS. Without them such a connection is refused, never trusted.
    ssl.SSLContext.set_default_verify_paths = _remember  # type: ignore[assignment]  # named self


def loaded(*, speaks_tls: bool) -> None:
    """Let everything be as in any other process, before the work of the command begins.

    Args:
        speaks_tls: whether the process may connect to a server over TLS, by code of its own or
            of somebody else; then the certificates are read now.
    """
    if gc.isenabled():
        return
    if "rich" in sys.modules and sys.modules["rich"] is None:
        del sys.modules["rich"]
    if "set_default_verify_paths" in vars(ssl.SSLContext):
        del ssl.SSLContext.set_default_verify_paths
    for context in _unfilled if speaks_tls else ():
        context.set_default_verify_paths()
    _unfilled.clear()
    # What is loaded by now stays: it need not be looked through again and again.
    gc.freeze()
    gc.enable()


def _remember(context: ssl.SSLContext) -> None:
    _unfilled.append(context)
