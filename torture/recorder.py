"""Recorder of what a program writes and flushes in a directory: a small tracer, for Linux.

``python -m torture.recorder RECORDING DIRECTORY PROGRAM ...`` runs the program, keeps each call
that changes a file of the directory or flushes it, as it ends, and ends with the program's code.
It needs nothing but Python and the right to trace what one has started oneself: a filter in the
kernel (seccomp) stops the program at those calls and at no others, so that it is hardly slower.
"""

import ctypes
import os
import pickle
import platform
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import attrs

from torture.recorded_calls import Caller, Describe, Record, describe
from torture.skipping import SkippedError

# Numbers of linux/ptrace.h, prctl.h, seccomp.h, filter.h and elf.h.
_TRACE_ME, _CONTINUE, _CONTINUE_TO_EXIT, _SET_OPTIONS, _GET_REGISTERS = 0, 7, 24, 0x4200, 0x4204
_GENERAL_REGISTERS = 1
_OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x80 | 0x100000
"""Ends of calls can be told from signals; forks, threads and programs are followed; stops of the
filter are told; and whatever is traced dies with its tracer."""
_STOPPED_BY_FILTER = 7
_END_OF_A_CALL = signal.SIGTRAP | 0x80
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _BY_FILTER = 38, 22, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _STOP = 0x7FFF0000, 0x7FF00000
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4
_STEP = struct.Struct("HBBI")
_ALL_THREADS = 0x40000000
_MOST_REGISTERS = 64
_ALL = sys.maxsize
_NOT_FILTERED, _NOT_STARTED = 125, 126


@attrs.frozen
class Machine:
    """What differs between processors: the numbers of calls, and what the registers hold."""

    architecture: int
    calls: Mapping[str, int]
    arguments: Sequence[int]
    number: int
    result: int


MACHINES = {
    "x86_64": Machine(
        architecture=0xC000003E,
        calls={
            "write": 1,
            "open": 2,
            "pwrite64": 18,
            "writev": 20,
            "fsync": 74,
            "fdatasync": 75,
            "ftruncate": 77,
            "rename": 82,
            "mkdir": 83,
            "creat": 85,
            "link": 86,
            "unlink": 87,
            "openat": 257,
            "mkdirat": 258,
            "unlinkat": 263,
            "renameat": 264,
            "linkat": 265,
            "pwritev": 296,
            "renameat2": 316,
        },
        arguments=(14, 13, 12, 7, 9, 8),
        number=15,
        result=10,
    ),
    "aarch64": Machine(
        architecture=0xC00000B7,
        calls={
            "mkdirat": 34,
            "unlinkat": 35,
            "linkat": 37,
            "renameat": 38,
            "ftruncate": 46,
            "openat": 56,
            "write": 64,
            "writev": 66,
            "pwrite64": 68,
            "pwritev": 70,
            "fsync": 82,
            "fdatasync": 83,
            "renameat2": 276,
        },
        arguments=(0, 1, 2, 3, 4, 5),
        number=8,
        result=0,
    ),
}


def recorder(recording: Path, directory: Path) -> Sequence[str]:
    """Return the command line that goes before that of the program."""
    return (sys.executable, "-m", "torture.recorder", str(recording), str(directory))


def read_recording(path: Path) -> Iterator[Record]:
    """Yield the records, in the order in which the calls ended."""
    with path.open("rb") as file:
        while True:
            try:
                yield pickle.load(file)  # noqa: S301 - we wrote it
            except EOFError:
                return


def check_recorder() -> None:
    """See that a program can be recorded here.

    Raises:
        SkippedError: the system is no Linux, the processor unknown, or tracing not allowed.
    """
    if sys.platform != "linux" or platform.machine() not in MACHINES:
        message = f"what is written can be recorded on Linux alone, on {' and '.join(MACHINES)}"
        raise SkippedError(message)
    nowhere = Path(os.devnull)
    probe = [*recorder(nowhere, nowhere), "true"]
    code = subprocess.run(probe, cwd=Path(__file__).parents[1], check=False).returncode
    if code != 0:
        message = f"what is written cannot be recorded here: a traced program ends with {code}"
        raise SkippedError(message)


@attrs.define
class Recorder:
    """Traces one program and whatever that starts, in one thread."""

    machine: Machine
    directory: str
    out: BinaryIO
    _libc: Any = attrs.field(factory=lambda: ctypes.CDLL(None, use_errno=True))
    _under_way: dict[int, tuple[float, Describe]] = attrs.field(factory=dict)
    """What each thread is doing: since when, and what makes the record of it."""

    def run(self, command: Sequence[str]) -> int:
        """Run the program to its end; return its code as a shell does.

        What it has started ends with the recorder.
        """
        program = os.fork()
        if program == 0:
            self._be_traced(command)
        # Whoever tells the recorder to stop means the program.
        signal.signal(signal.SIGTERM, lambda *_: os.kill(program, signal.SIGTERM))
        os.waitpid(program, 0)
        self._trace(_SET_OPTIONS, program, 0, _OPTIONS)
        self._trace(_CONTINUE, program, 0, 0)
        while True:
            pid, status = os.waitpid(-1, _ALL_THREADS)
            if os.WIFSTOPPED(status):
                self._go_on(pid, os.WSTOPSIG(status), status >> 16)
            elif pid == program:
                self._settle()
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code

    def _be_traced(self, command: Sequence[str]) -> None:
        code = _NOT_FILTERED
        try:
            self._trace(_TRACE_ME, 0, 0, 0)
            # The tracer sets its options now: a call that is stopped without them fails.
            os.kill(os.getpid(), signal.SIGSTOP)
            program = self._make_filter()
            self._libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
            if self._libc.prctl(_SET_SECCOMP, _BY_FILTER, ctypes.byref(program), 0, 0) == 0:
                code = _NOT_STARTED
                os.execvp(command[0], list(command))  # noqa: S606 - what we were told to run
        finally:
            os._exit(code)

    def _make_filter(self) -> "_Filter":
        numbers = sorted(self.machine.calls.values())
        count = len(numbers)
        steps = [
            (_LOAD, 0, 0, _ARCHITECTURE_AT),
            (_JUMP_IF_EQUAL, 0, count + 1, self.machine.architecture),
            (_LOAD, 0, 0, _NUMBER_AT),
            *((_JUMP_IF_EQUAL, count - n, 0, number) for n, number in enumerate(numbers)),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _STOP),
        ]
        packed = ctypes.create_string_buffer(b"".join(_STEP.pack(*step) for step in steps))
        return _Filter(len(steps), ctypes.cast(packed, ctypes.c_void_p))

    def _go_on(self, pid: int, number: int, event: int) -> None:
        if event == _STOPPED_BY_FILTER:
            self._trace(_CONTINUE_TO_EXIT if self._begin(pid) else _CONTINUE, pid, 0, 0)
            return
        if number == _END_OF_A_CALL:
            self._end(pid)
        # Whatever is new comes stopped, and is to go on; any other signal is the program's.
        is_ours = event or number in {signal.SIGSTOP, _END_OF_A_CALL}
        self._trace(_CONTINUE, pid, 0, 0 if is_ours else number)

    def _begin(self, pid: int) -> bool:
        """Look at a call that begins; tell whether its end is of interest."""
        registers = self._read_registers(pid)
        names = {number: name for name, number in self.machine.calls.items()}
        call = names[registers[self.machine.number]]
        arguments = [registers[place] for place in self.machine.arguments]
        try:
            wanted = describe(Caller(pid, self.directory), call, arguments)
        except OSError:
            return False  # it names what is not there, and will fail
        if wanted is not None:
            self._under_way[pid] = (time.monotonic(), wanted)
        return wanted is not None

    def _end(self, pid: int) -> None:
        begun, make_record = self._under_way.pop(pid)
        result = ctypes.c_longlong(self._read_registers(pid)[self.machine.result]).value
        if result >= 0:
            kind, *rest = make_record(result)
            pickle.dump((kind, begun, time.monotonic(), *rest), self.out)
            self.out.flush()

    def _settle(self) -> None:
        """Record the writes in which threads were killed, and which were made nevertheless."""
        for begun, make_record in self._under_way.values():
            try:
                kind, *rest = make_record(_ALL)
            except OSError:
                continue  # only the thread could have said where
            if kind == "write" and self._stands(*rest):
                pickle.dump((kind, begun, time.monotonic(), *rest), self.out)

    def _stands(self, inode: int, offset: int, content: bytes) -> bool:
        for entry in os.scandir(self.directory):
            if entry.inode() == inode:
                with Path(entry.path).open("rb") as file:
                    file.seek(offset)
                    return file.read(len(content)) == content
        return False

    def _read_registers(self, pid: int) -> Sequence[int]:
        values = (ctypes.c_ulonglong * _MOST_REGISTERS)()
        vector = _Vector(ctypes.cast(values, ctypes.c_void_p), ctypes.sizeof(values))
        self._trace(_GET_REGISTERS, pid, _GENERAL_REGISTERS, ctypes.addressof(vector))
        return [values[place] for place in range(_MOST_REGISTERS)]

    def _trace(self, request: int, pid: int, address: int, data: int) -> None:
        # A thread that was killed meanwhile is told of by the next wait.
        self._libc.ptrace(
            ctypes.c_long(request), pid, ctypes.c_void_p(address), ctypes.c_void_p(data)
        )


class _Vector(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Filter(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))


def main() -> int:
    """Record what the command line says; return the program's code."""
    recording, directory, *command = sys.argv[1:]
    with Path(recording).open("ab") as out:
        return Recorder(MACHINES[platform.machine()], directory, out).run(command)


if __name__ == "__main__":
    sys.exit(main())
