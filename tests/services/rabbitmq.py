"""A private RabbitMQ that a test may kill and restart; its messages survive that, as a real broker's do."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Protocol

from .sandbox import Sandbox, UnavailableServiceError, free_ports

__all__ = ["Broker", "PrivateBroker", "rabbitmq_programs"]

_CONFIGURATION = """\
log.console = true
log.console.level = error
log.file = false
vm_memory_high_watermark.relative = 0.9
disk_free_limit.absolute = 1MB
loopback_users = none
heartbeat = 10
"""

# Two schedulers that do not spin: the broker shares the machine with the tests. Our own epmd runs, so start none.
_ERLANG = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1} -start_epmd false"


# A broker writes a new quorum queue into its registry half a second late; killed before that, it forgets the queue
# with everything in it. That is its own affair and not what a test wants to see.
_REGISTRATION = 1.0


class Broker(Protocol):
    """What the fixture ``rabbitmq`` hands out. Only a private broker can be killed and started."""

    @property
    def url(self) -> str: ...
    def start(self) -> None: ...
    def kill(self) -> None: ...
    def restart(self) -> None: ...
    def ctl(self, *arguments: str) -> str: ...


def rabbitmq_programs() -> tuple[Path, Path] | None:
    """The broker's own start script and Erlang's port mapper, where both are installed.

    On Debian the script on ``PATH`` is a wrapper that needs root and forgets its environment: it is not used.
    """
    named = os.environ.get("CHECKING_TEST_RABBITMQ_SERVER")
    places = (
        [named]
        if named
        else [
            "/usr/lib/rabbitmq/bin/rabbitmq-server",
            "/usr/local/sbin/rabbitmq-server",
            "/opt/homebrew/sbin/rabbitmq-server",
        ]
    )
    script = next((Path(place) for place in places if Path(place).exists()), None)
    epmd = shutil.which("epmd")
    return (script, Path(epmd)) if script and epmd else None


class PrivateBroker:
    """A broker and a port mapper on free ports; ``close`` ends both and removes every trace."""

    def __init__(self) -> None:
        if (programs := rabbitmq_programs()) is None:
            raise UnavailableServiceError("no RabbitMQ server is installed")
        self._script, epmd = programs
        self._sandbox = Sandbox("rabbitmq")
        self._port, distribution, mapper = free_ports(3)
        self._process: subprocess.Popen[bytes] | None = None
        self._env = self._environment(distribution, mapper)
        self._write_configuration()
        listener = self._sandbox.spawn([epmd, "-port", str(mapper), "-address", "127.0.0.1"], self._env)
        self._sandbox.wait_for_port(mapper, listener, within=10)

    @property
    def url(self) -> str:
        """The default virtual host, as the default user, who may do everything."""
        return f"amqp://guest:guest@127.0.0.1:{self._port}/"

    @property
    def pid(self) -> int:
        """The broker's process, whose children do the work."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the broker and wait until it listens."""
        self._process = self._sandbox.spawn([self._script], self._env)
        self._sandbox.wait_for_port(self._port, self._process, within=90)
        self._wait_until_ready(within=30)

    def kill(self) -> None:
        """End the broker as a power cut would, after a pause; what it confirmed is on disk."""
        if self._process is not None:
            time.sleep(_REGISTRATION)
            self._sandbox.kill(self._process)
            self._process = None

    def restart(self) -> None:
        """Kill and start on the same port, with the same queues."""
        self.kill()
        self.start()

    def ctl(self, *arguments: str) -> str:
        """What ``rabbitmqctl`` says to these arguments, of this broker; it is the script beside the broker's own."""
        done = subprocess.run(
            [self._script.with_name("rabbitmqctl"), "--quiet", *arguments],
            env=self._env,
            cwd=self._sandbox.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"rabbitmqctl {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def close(self) -> None:
        """End everything and remove the folder."""
        self._process = None
        self._sandbox.close()

    def _wait_until_ready(self, within: float) -> None:
        """An open port is not enough: a broker that still boots hangs up. A ready one answers the greeting."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 5) as greeting:
                greeting.sendall(b"AMQP\x00\x00\x09\x01")
                if greeting.recv(1) == b"\x01":
                    return
            time.sleep(0.05)
        raise UnavailableServiceError("RabbitMQ listens and does not answer")

    def _write_configuration(self) -> None:
        folder = self._sandbox.folder
        (folder / "rabbitmq.conf").write_text(_CONFIGURATION)
        (folder / "enabled_plugins").write_text("[].\n")
        (folder / "env.conf").touch()
        cookie = folder / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)

    def _environment(self, distribution: int, mapper: int) -> dict[str, str]:
        """Everything is named: what is left out would come from the system's own broker."""
        folder = self._sandbox.folder
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"checking{secrets.token_hex(4)}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "env.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(folder / "conf.d"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_SCHEMA_DIR": str(folder / "schema"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG,
        }
