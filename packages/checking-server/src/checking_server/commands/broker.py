"""``checking broker``: what the broker needs before anything runs, made or written down for its administrator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from checking_core.errors import ConfigurationError

if TYPE_CHECKING:
    from checking_core.settings import BrokerSettings
    from checking_core.transport import Topology

__all__ = ["app", "definitions", "setup"]

app = App(name="broker", help="The broker: set it up, or write the definitions of it.")

Backends = Annotated[
    tuple[str, ...], Parameter(name="--backend", help="One more backend than those that are configured.", negative="")
]


@app.command
async def setup(*, backend: Backends = ()) -> None:
    """Create what is missing on the broker: exchanges, queues, and a queue for each backend. May be repeated.

    The virtual host and the users are the administrator's part: checking broker definitions writes them down.
    """
    from checking_core.settings import BrokerRole, LogSettings, read
    from checking_core.transport.factory import set_up_broker
    from checking_server.commands.logs import log_problems

    log_problems(read(LogSettings))
    broker, topology = _broker()
    url = broker.url_for(BrokerRole.ADMIN)
    if url is None:
        raise ConfigurationError("no broker is configured; set CHECKING_AMQP_URL, or RABBITMQ_HOST and its family")
    for line in await set_up_broker(url, topology, _lanes(topology, backend)):
        print(line)


@app.command
def definitions(
    *,
    backend: Backends = (),
    output: Annotated[Path | None, Parameter(help="File to write instead of stdout; for its owner alone.")] = None,
) -> None:
    """Write virtual host, exchanges, queues, policy, and the seven users with their permissions, for import.

    Passwords come from the settings and are stored hashed; a user whose password is not set is left out. Import it with
    rabbitmqctl import_definitions FILE.
    """
    import sys

    from checking_core.settings import BrokerRole
    from checking_core.transport.factory import broker_definitions

    broker, topology = _broker()
    found = broker_definitions(broker, topology, _lanes(topology, backend))
    _write(found, output)
    absent = [role for role in BrokerRole if broker.credentials(role)[1] is None]
    for role in absent:
        user = broker.credentials(role)[0]
        print(f"checking: left out user {user}: RABBITMQ_{role.upper()}_PASS is not set", file=sys.stderr)


def _broker() -> tuple[BrokerSettings, Topology]:
    from checking_core.settings import BrokerSettings, read
    from checking_core.transport.settings import TopologySettings

    return read(BrokerSettings), read(TopologySettings).topology()


def _lanes(topology: Topology, more: Sequence[str]) -> list[str]:
    """The task queues of every configured backend, and of those that were named beside them."""
    import re

    from checking_core.contracts.text import BACKEND_NAME
    from checking_core.plugin import PluginHost
    from checking_core.settings import BackendsSettings, read

    for name in more:
        if not re.fullmatch(BACKEND_NAME, name):
            raise ConfigurationError(f"--backend: {name} is no name of a backend; use 1 to 40 of a-z, 0-9, _ and -")
    configured = PluginHost.load().backends(read(BackendsSettings))
    kinds = {**dict.fromkeys(more, "api"), **{name: backend.detection_type for name, backend in configured.items()}}
    return sorted({topology.task_queue(kind, name) for name, kind in kinds.items()})


def _write(found: dict[str, Any], output: Path | None) -> None:
    import json
    import sys

    text = json.dumps(found, indent=2) + "\n"
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.touch(mode=0o600)
        output.chmod(0o600)
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"--output: {output} cannot be written: {error.strerror}") from error
