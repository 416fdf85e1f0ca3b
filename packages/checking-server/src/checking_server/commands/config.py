"""``checking config``: the effective settings, with their secrets masked."""

from __future__ import annotations

from cyclopts import App

app = App(name="config", help="The effective settings.")

__all__ = ["app", "show"]


@app.command
def show() -> int:
    """Print every variable with the value in effect and where it comes from; secrets are masked.

    Exit code 2 if a setting is wrong: the others are shown all the same.
    """
    import sys

    import msgspec

    from checking_core.errors import ConfigurationError
    from checking_core.settings import describe, read
    from checking_server.bootstrap import Settings
    from checking_server.commands.terminal import cell, say, table, terminal

    lines, problems = table("Variable", "Value", "From", whole=("Variable", "From")), []
    for field in msgspec.structs.fields(Settings):
        try:
            for setting in describe(read(field.type)):
                lines.add_row(cell(setting.variable), cell(setting.value), cell(setting.origin, "dim"))
        except ConfigurationError as error:
            problems.append(str(error))
    terminal().print(lines)
    for problem in problems:
        say(terminal(sys.stderr), f"checking: {problem}", "red")
    return 2 if problems else 0
