"""Every program that a command starts, by ptrace: exact, and without privileges, as it traces only its own children."""

from __future__ import annotations

import ctypes
import errno
import os
import pwd
import signal
import subprocess  # nosec B404 - its one use is below
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from checking_core.errors import ConfigurationError

__all__ = ["Program", "Traced", "traced"]

_TRACE_ME, _CONTINUE, _SET_OPTIONS = 0, 7, 0x4200
_ALL = 0x40000000  # wait for clones, too
_FORK, _VFORK, _CLONE, _EXEC, _KILL_WITH_US = 0x2, 0x4, 0x8, 0x10, 0x100000
_EXEC_HAPPENED = 4
_SILENT = frozenset({signal.SIGSTOP, signal.SIGTRAP})
"""Signals that tracing itself brings: the process never sees them."""


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A program that was started."""

    at: datetime
    pid: int
    parent: int
    image: str
    arguments: tuple[str, ...]
    folder: str
    user: str


class Traced(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a command: when it ran, how its shell ended, and what it started, in order."""

    started: datetime
    ended: datetime
    pid: int
    exit_code: int
    programs: tuple[Program, ...]


def traced(command: str, folder: Path) -> Traced:
    """Run a command in a shell, and follow whatever it starts to its end. Its output goes nowhere.

    Raises:
        ConfigurationError: this machine cannot trace.
    """
    if not sys.platform.startswith("linux"):
        raise ConfigurationError("recording needs Linux")
    ptrace = _ptrace()
    started = datetime.now(UTC)
    shell = subprocess.Popen(  # noqa: S603 # nosec B603 - a person asked to run these commands
        ["/bin/sh", "-c", command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=lambda: ptrace(_TRACE_ME, 0, 0),  # noqa: PLW1509 - nothing else runs in this process
    )
    _, status = os.waitpid(shell.pid, 0)
    if not os.WIFSTOPPED(status):
        raise ConfigurationError("recording is not allowed here: the kernel refuses ptrace")
    programs = [_program(shell.pid)]
    ptrace(_SET_OPTIONS, shell.pid, _FORK | _VFORK | _CLONE | _EXEC | _KILL_WITH_US)
    ptrace(_CONTINUE, shell.pid, 0)
    code = 0
    for pid, status in _changes(shell.pid):
        if os.WIFSTOPPED(status):
            if status >> 16 == _EXEC_HAPPENED:
                programs.append(_program(pid))
            caught = os.WSTOPSIG(status)
            ptrace(_CONTINUE, pid, 0 if status >> 16 or caught in _SILENT else caught)
        elif pid == shell.pid:
            code = os.waitstatus_to_exitcode(status)
    shell.returncode = code
    ended = datetime.now(UTC)
    return Traced(started=started, ended=ended, pid=shell.pid, exit_code=code, programs=tuple(programs))


def _ptrace() -> ctypes._NamedFuncPointer:
    function = ctypes.CDLL(None, use_errno=True).ptrace
    function.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    function.restype = ctypes.c_long

    def call(request: int, pid: int, data: int) -> int:
        found: int = function(request, pid, None, data)
        return found

    return call  # type: ignore[return-value]


def _changes(group: int) -> Iterator[tuple[int, int]]:
    """Every change of a traced process, until none is left. Other children of this process are none of ours."""
    while True:
        try:
            yield os.waitpid(-group, _ALL)
        except OSError as error:
            if error.errno == errno.ECHILD:
                return
            raise


def _program(pid: int) -> Program:
    """The program that a process, which stands still, is about to run."""
    place = Path("/proc") / str(pid)
    status = dict(line.split(":\t", 1) for line in (place / "status").read_text().splitlines() if ":\t" in line)
    return Program(
        at=datetime.now(UTC),
        pid=pid,
        parent=int(status["PPid"]),
        image=str((place / "exe").readlink()),
        arguments=tuple((place / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")),
        folder=str((place / "cwd").readlink()),
        user=pwd.getpwuid(int(status["Uid"].split()[1])).pw_name,
    )
