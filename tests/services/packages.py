"""Installs a missing server with apt-get where this account may: as root, or by sudo without a password."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .postgres import postgres_bindir
from .rabbitmq import rabbitmq_programs

__all__ = ["install_missing"]

_PACKAGES = {
    "postgres": ("postgresql", postgres_bindir),
    "rabbitmq": ("rabbitmq-server", rabbitmq_programs),
}

# 101 tells the packages' scripts that no service may be started: the tests run servers of their own. An answer that
# the machine's owner has put there already stays.
_SCRIPT = r"""
set -u
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
apt-get -q update
apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"
"""


def install_missing(services: set[str]) -> None:
    """Make sure that the servers are installed, if that is possible at all; whoever needs one looks afterwards.

    Not tried where ``CHECKING_TEST_INSTALL=0``. Of several test processes one installs and the others wait for it.
    """
    if os.environ.get("CHECKING_TEST_INSTALL") == "0" or not _missing(services) or (root := _as_root()) is None:
        return
    with _one_at_a_time() as tried:
        if not tried and (packages := _missing(services)):
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(
                    [*root, "sh", "-c", _SCRIPT, "install", *packages], check=False, capture_output=True, timeout=900
                )


def _missing(services: set[str]) -> list[str]:
    found = (_PACKAGES[service] for service in sorted(services))
    return [package for package, present in found if present() is None]


def _as_root() -> list[str] | None:
    """What to put before a command so that it runs as root; ``None`` where that, or apt-get, is not to be had."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    sudo = ["sudo", "-n"]
    if shutil.which("sudo") and subprocess.run([*sudo, "true"], check=False, capture_output=True).returncode == 0:
        return sudo
    return None


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[bool]:
    """Hold the lock; tells whether another process of this test run has tried already."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    with (Path(tempfile.gettempdir()) / f"checking-install-{os.geteuid()}.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        yield lock.read() == run
        lock.truncate(0)
        lock.write(run)
