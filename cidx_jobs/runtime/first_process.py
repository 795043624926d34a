"""The first process of a container: passes signals on, and reaps what nobody else waits for.

The kernel gives every process whose parent has ended to the first one. A server in that place
would have to tell them from the children that it, or a handler of its own, waits for; an end that
it took away from those would be lost. So it is a child of a process that does nothing else.
"""

import os
import signal

_PASSED_ON = frozenset(
    {
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
    }
)


def serve_as_child_of_init() -> None:
    """Return in a child if this is the first process of its namespace; else return at once.

    The first process itself never returns: it ends with the child's exit code, or with 128 and
    the number of the signal that ended it, and the kernel ends whatever is left then.
    """
    if os.getpid() != 1:
        return
    # Blocked from before the fork on, so that none is lost; the kernel ignores whatever the first
    # process neither blocks nor handles.
    taken = _PASSED_ON | {signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, taken)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    server = os.fork()
    if server == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    os._exit(_look_after(server, taken))


def _look_after(server: int, taken: frozenset[signal.Signals]) -> int:
    while True:
        number = signal.sigwait(taken)
        if number != signal.SIGCHLD:
            os.kill(server, number)
            continue
        # Several that end at once are one signal.
        code = _reap(server)
        if code is not None:
            return code


def _reap(server: int) -> int | None:
    """Take the ends of all children that have ended; return the server's exit code if it has."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 1  # not even the server is left
        if pid == 0:
            return None
        if pid == server:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
