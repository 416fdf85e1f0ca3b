"""The command ``checking``. Verbs import what they need when they run, so that ``--help`` is quick.

Exit codes: 0 done; 1 done, but something was rejected or not met; 2 the call or a setting is wrong; 3 a database or
broker is away; 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, UnusedCliTokensError

from checking_core.errors import CheckingError, UnavailableError

__all__ = ["app", "main"]


def _version() -> str:
    from importlib.metadata import version

    return version("checking-server")


app = App(
    name="checking",
    help="Detection validation that can be trusted: which of the red team's actions did the defenders' products see?",
    version_flags=["--version"],
    version=_version,
    help_format="plaintext",
    result_action="return_value",
)

_VERBS = {
    "audit": "Who changed what.",
    "check": "Ask one backend once what it saw of one execution: neither server nor database is needed.",
    "demo": "Operations through the whole engine, on nothing but this machine.",
    "explain": "Why a check has the verdict it has, and what would change it.",
    "ingest": "Feed it what the red team did: Caldera messages, operations or reports.",
    "openapi": "Write the OpenAPI 3.1 description of the API, without a server.",
    "report": "What the defenders saw of an operation.",
    "retry": "Have a closed check asked once more.",
    "serve": "Run the API, the stations and the worker until told to stop.",
}
_GROUPS = {
    "broker": "The broker: set it up, or write the definitions of it.",
    "config": "The effective settings.",
    "db": "The database schema: upgrade, check, downgrade, setup.",
    "dead-letters": "Messages that could not be accepted: list, show, replay, delete.",
    "expectations": "Check expectations files, and show what they plan.",
    "keys": "Keys to the API: create, list, revoke.",
    "plugins": "Installed detector plugins and their backends, and the beginning of a new one.",
}
for _name, _help in _VERBS.items():
    app.command(f"checking_server.commands.{_name}:{_name}", name=_name, help=_help)
for _name, _help in _GROUPS.items():
    app.command(f"checking_server.commands.{_name.replace('-', '_')}:app", name=_name, help=_help)


def _add_commands_of_plugins(words: Sequence[str]) -> None:
    """Plugins are loaded only for a first word that is none of ours, or for the list of all."""
    first = next((word for word in words if not word.startswith("-")), None)
    if first == "demo":
        _add_recorders()
    if first in _VERBS or first in _GROUPS or "--version" in words:
        return
    from checking_core.plugin.loader import commands_of

    commands = commands_of(first) if first else {}  # most name their command after themselves
    if first not in commands:
        from checking_core.plugin import PluginHost

        commands = PluginHost.load().commands
    for name, command in commands.items():
        if name not in app:
            app.command(command.target, name=name, help=command.help)


def _add_recorders() -> None:
    from checking_core.plugin import PluginHost

    for demo in PluginHost.load().demos.values():
        if demo.record is not None and "record" not in app["demo"]:
            app["demo"].command(demo.record.target, name="record", help=demo.record.help)


def main() -> None:
    """Entry point: errors of ours are one line and an exit code, never a traceback."""
    try:
        _add_commands_of_plugins(sys.argv[1:])
        code = app(sys.argv[1:], exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except UnavailableError as error:
        sys.exit(_say(error, 3))
    except UnusedCliTokensError as error:
        sys.exit(_say(f"{' '.join(error.unused_tokens or ())}: is not wanted here; --help tells what is", 2))
    except (CheckingError, CycloptsError) as error:
        sys.exit(_say(error, 2))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(_read_enough())
    sys.exit(code if isinstance(code, int) else 0)


def _read_enough() -> int:
    """Whoever reads us has left, as ``head`` does. What is still buffered must not fail in the last flush of all."""
    import os

    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    return 0


def _say(error: CheckingError | CycloptsError | str, code: int) -> int:
    from checking_core.report.escape import visible

    sys.stderr.write(f"checking: {visible(str(error))}\n")
    return code
