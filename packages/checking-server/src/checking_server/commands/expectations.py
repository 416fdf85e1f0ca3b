"""``checking expectations``: what is wrong with expectations, and what they plan, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from checking_core.errors import ConfigurationError
from checking_server.commands.arguments import Source, refuse_missing

__all__ = ["app", "lint", "plan", "schema"]

app = App(name="expectations", help="Check expectations files, and show what they plan.")


@app.command
def lint(
    *paths: Annotated[Path, Parameter(help="Files and folders. Without any: those of CHECKING_EXPECTATIONS.")],
) -> int:
    """Tell everything that is wrong with expectations files, as file:line: CODE message; remedy.

    Exit code 1 if anything is.
    """
    import sys

    from checking_core.expectations import lint as find_problems
    from checking_core.plugin import PluginHost
    from checking_core.report.escape import visible
    from checking_core.settings import BackendsSettings, PlanSettings, read

    chosen = paths or tuple(map(Path, read(PlanSettings).expectations))
    if not chosen:
        raise ConfigurationError("name files or folders of expectations, or set CHECKING_EXPECTATIONS")
    refuse_missing(chosen)
    host = PluginHost.load()
    backends = host.backends(read(BackendsSettings))
    languages = host.languages(backends)
    found = find_problems(
        chosen,
        backends,
        plugin_keys=host.config_keys,
        languages=languages,
        rule_problems=host.rule_problems(backends),
        answers=host.answers(backends),
    )
    for problem in found:
        print(visible(str(problem)))
    count = f"{len(found)} problem{'' if len(found) == 1 else 's'}" if found else "nothing wrong"
    print(f"checking: {count} in {', '.join(map(str, chosen))}", file=sys.stderr)
    return 1 if found else 0


@app.command
def plan(
    operation: Annotated[Source, Parameter(help="Stored one (id, name, latest), or a file of messages; - is stdin.")],
    /,
    *,
    expectations: Annotated[
        tuple[Path, ...], Parameter(help="File or folder; instead of CHECKING_EXPECTATIONS.", negative="")
    ] = (),
) -> int:
    """Show which checks each execution of an operation gets, and how much each backend is asked by them.

    Runs nothing, stores nothing. A file is one that checking ingest takes. Exit code 1 if a message of it cannot be
    read.
    """
    import asyncio

    from checking_core import log
    from checking_core.settings import LogSettings, read
    from checking_server.commands.plan_table import show_plan
    from checking_server.commands.terminal import terminal
    from checking_server.planning import loads_of, plan_file, plan_stored

    settings = read(LogSettings)
    log.configure(settings.level, settings.format, settings.file)
    if operation == "-" or Path(operation).is_file():
        planned = plan_file(operation, expectations)
    else:
        planned = asyncio.run(plan_stored(operation, expectations))
    show_plan(planned, asyncio.run(loads_of(planned)), terminal())
    return 1 if planned.rejected else 0


@app.command
def schema() -> None:
    """Print the JSON Schema of an expectations file, for editors."""
    import json

    from checking_core.expectations import schema as of_file

    print(json.dumps(of_file(), indent=2))
