"""How a command loads what it needs: without what other libraries take in and it seldom uses.

Only in a process that is the command's own, and until its work begins: `main` begins it by
putting the collection of garbage off, and `loaded` ends it. An application that imports
`cidx_jobs` gets every library as it is.
"""

import gc
import sys
from typing import Any


def load_lightly() -> None:
    """Spare the imports that follow a third of their time; nothing where `main` is not."""
    if gc.isenabled():
        return
    # structlog takes rich in where it is installed, for tracebacks that we never let it draw.
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # what keeps a module out
    _put_certificates_off()


def loaded() -> None:
    """Let everything be as in any other process, before the work of the command begins."""
    if gc.isenabled():
        return
    if "rich" in sys.modules and sys.modules["rich"] is None:
        del sys.modules["rich"]
    _put_certificates_off_no_more()
    # What is loaded by now stays: it need not be looked through again and again.
    gc.freeze()
    gc.enable()


def _put_certificates_off() -> None:
    # aiohttp makes its two TLS contexts when it is imported, and each reads all certificates of
    # the system: a quarter of what a command takes that speaks to a server without TLS.
    import ssl

    ssl.SSLContext.set_default_verify_paths = _read_when_used  # type: ignore[assignment, method-assign]


def _put_certificates_off_no_more() -> None:
    import ssl

    if "set_default_verify_paths" in vars(ssl.SSLContext):
        # What is inherited comes to light again.
        del ssl.SSLContext.set_default_verify_paths


def _read_when_used(context: Any) -> None:
    """Let *context* read the certificates before its first connection, and not now."""

    def wrap_bio(*arguments: Any, **options: Any) -> Any:
        del context.wrap_bio
        context.set_default_verify_paths()
        return context.wrap_bio(*arguments, **options)

    context.wrap_bio = wrap_bio
