"""A folder and the processes that live in it: both are gone when the tests are, whatever ended the tests."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import reaper

__all__ = ["Sandbox", "UnavailableServiceError", "free_ports", "unprivileged"]


class UnavailableServiceError(RuntimeError):
    """There is no way to get this service on this machine; the text says what was tried."""


def free_ports(count: int) -> list[int]:
    """Distinct free loop-back ports: all of them are held until the last one is drawn."""
    with contextlib.ExitStack() as held:
        drawn = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in drawn]


def unprivileged() -> dict[str, Any]:
    """Arguments for ``subprocess`` that drop root: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            account = pwd.getpwnam(name)
            return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    raise UnavailableServiceError("these tests run as root and there is no unprivileged account")


class Sandbox:
    """Spawns processes in a folder of its own below the system's temporary folder.

    Not pytest's ``tmp_path``: its parents are closed to the unprivileged account that a server may have to run as.
    A second process, the reaper, ends what is left as soon as this one closes the pipe between them or dies.
    """

    def __init__(self, name: str, drop: Mapping[str, Any] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"checking-{name}-"))
        self.log = self.folder / "log"
        self._drop = dict(drop or {})
        if self._drop:
            os.chown(self.folder, self._drop["user"], self._drop["group"])
        self._running: list[subprocess.Popen[bytes]] = []
        self._reaper = subprocess.Popen(
            [sys.executable, "-E", "-S", reaper.__file__, str(self.folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, command: Sequence[str | Path], env: Mapping[str, str]) -> None:
        """Run to the end; raises ``UnavailableServiceError`` with the output if that is a failure."""
        done = subprocess.run(
            command, env=env, cwd=self.folder, capture_output=True, text=True, check=False, timeout=60, **self._drop
        )
        if done.returncode != 0:
            raise UnavailableServiceError(f"{command[0]} exited with {done.returncode}: {done.stderr.strip()[-2000:]}")

    def spawn(
        self, command: Sequence[str | Path], env: Mapping[str, str], *, ends_by: signal.Signals = signal.SIGKILL
    ) -> subprocess.Popen[bytes]:
        """Start a process group; ``ends_by`` is what the reaper sends it first."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                env=env,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._drop,
            )
        self._tell(f"+ {process.pid} {ends_by.value}")
        self._running.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """End a process group at once, as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        self._forget(process, within=10)

    def end(self, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        """Ask a process to end, and wait until it has."""
        process.send_signal(number)
        self._forget(process, within=60)

    def wait_for_port(self, port: int, process: subprocess.Popen[bytes], within: float) -> None:
        """Return once somebody listens; raises ``UnavailableServiceError`` with the end of the log if nobody does."""
        end = time.monotonic() + within
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
                return
            time.sleep(0.05)
        raise UnavailableServiceError(
            f"{process.args!r} does not listen:\n{self.log.read_text(errors='replace')[-2000:]}"
        )

    def close(self) -> None:
        """End everything and remove the folder. May be called twice."""
        if self._reaper.stdin is not None:
            self._reaper.stdin.close()
        for process in self._running:
            process.wait(reaper.PATIENCE * 2)
        self._running.clear()
        self._reaper.wait(reaper.PATIENCE * 2)

    def _forget(self, process: subprocess.Popen[bytes], within: float) -> None:
        process.wait(within)
        self._running.remove(process)
        self._tell(f"- {process.pid}")

    def _tell(self, line: str) -> None:
        if self._reaper.stdin is None:
            raise UnavailableServiceError("the sandbox is closed")
        self._reaper.stdin.write(line.encode() + b"\n")
        self._reaper.stdin.flush()
