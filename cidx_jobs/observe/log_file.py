"""The file of the log: opened anew when it was moved away, without losing a line."""

import os
from pathlib import Path

from cidx_jobs.model.errors import SettingsError

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
_MODE = 0o600


class LogFile:
    """Takes text as a stream does; each write is handed to the system at once.

    Its descriptor stays the same, and is put on another file in one call: whoever writes in that
    moment writes to the one or to the other.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, at its end.

        Raises:
            SettingsError: it cannot be opened.
        """
        self._path = path.absolute()
        try:
            self._descriptor = os.open(self._path, _FLAGS, _MODE)
        except OSError as error:
            message = f"log_file: {path} cannot be opened: {(error.strerror or '').lower()}"
            raise SettingsError(message) from error

    def write(self, text: str) -> int:
        """Write the text at the end of the file."""
        rest = memoryview(text.encode("utf-8", "backslashreplace"))
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        return len(text)

    def flush(self) -> None:
        """Do nothing: it is written."""

    def isatty(self) -> bool:
        """Return False: nobody sits at a file."""
        return False

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def reopen(self) -> None:
        """Go on in the file that has the path now, which is made if there is none.

        Raises:
            OSError: it cannot be opened; the one before is written on.
        """
        descriptor = os.open(self._path, _FLAGS, _MODE)
        try:
            os.dup2(descriptor, self._descriptor, inheritable=False)
        finally:
            os.close(descriptor)
