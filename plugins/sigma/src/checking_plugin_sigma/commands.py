"""``checking sigma``: rules over telemetry at once, without operation, server or database; and proof that they bite."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import tzinfo
from enum import StrEnum
from pathlib import Path
from time import monotonic
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import Progress

from checking_core.errors import ConfigurationError
from checking_plugin_sigma.events.source import files_of
from checking_plugin_sigma.option import about_option
from checking_plugin_sigma.rules.cache import RuleCache, default_folder
from checking_plugin_sigma.rules.load import load_rules
from checking_plugin_sigma.rules.model import RuleSet
from checking_plugin_sigma.survey import is_of, layer_of, survey
from checking_plugin_sigma.tables import console, show_survey, show_trials

__all__ = ["app", "record_steps"]

app = App(name="sigma", help="Sigma rules over telemetry in files.", help_format="plaintext")


class Format(StrEnum):
    """How a survey is printed."""

    TABLE = "table"
    JSON = "json"
    NAVIGATOR = "navigator"


@app.command(name="scan")
def scan(
    *,
    rules: Annotated[Path, Parameter(help="Folder of Sigma rules, or one rule.")],
    events: Annotated[
        list[str], Parameter(help="Telemetry: files, folders or patterns.", consume_multiple=True, negative="")
    ],
    technique: Annotated[str | None, Parameter(help="Only rules of this ATT&CK technique.")] = None,
    form: Annotated[Format, Parameter(name="--format", help="How to print what was found.")] = Format.TABLE,
) -> int:
    """Evaluate rules over telemetry: which hit, which had nothing to look at, which cannot be evaluated.

    Exit code 1 if a rule was refused or a record could not be read.
    """
    began = monotonic()
    loaded = _rules(rules)
    if technique is not None and not any(is_of(rule, technique) for rule in loaded.rules):
        raise ConfigurationError(f"--technique: no rule is tagged with {technique}; write one such as T1003.001")
    taken = round(monotonic() - began, 3)
    with _progress(files := _files(events)) as progress:
        found = survey(loaded, files, technique=technique, progress=progress)
    found = msgspec.structs.replace(found, rule_seconds=taken)
    if form is Format.TABLE:
        show_survey(found, console())
    else:
        told = layer_of(found) if form is Format.NAVIGATOR else found
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(told)).decode() + "\n")
    return 1 if found.refused or found.unreadable else 0


@app.command(name="selftest")
def prove(
    *,
    rules: Annotated[Path | None, Parameter(help="Folder of Sigma rules, or one rule.")] = None,
    events: Annotated[
        list[str] | None, Parameter(help="Telemetry that some of them hit.", consume_multiple=True, negative="")
    ] = None,
    time_zone: Annotated[str | None, Parameter(help="Zone of times that are written without one.")] = None,
) -> int:
    """Prove that verdicts follow the telemetry: drop, change, move a matching event, and see every verdict flip.

    Takes each rule that hits, by default of a sample of its own. Exit code 1 if a verdict did not do what it should.
    """
    import asyncio

    from checking_plugin_sigma.selftest import selftest

    if (rules is None) != (events is None):
        raise ConfigurationError("--rules and --events go together")
    sample = Path(__file__).parent / "sample"
    loaded = _rules(rules or sample / "rules")
    files = _files(events or [str(sample / "telemetry.jsonl")])
    trials = asyncio.run(selftest(loaded, files, _zone(time_zone)))
    if not trials:
        raise ConfigurationError("no rule hits this telemetry, so nothing can be proven with it")
    show_trials(trials, console())
    return 0 if all(trial.passed for trial in trials) else 1


@app.command(name="convert")
def convert_rule(
    rule: Annotated[Path, Parameter(help="The rule.")],
    /,
    *,
    to: Annotated[str, Parameter(help="Name of a configured backend.")],
) -> int:
    """Show a rule as the query that a backend asks, or say why it cannot be asked without a loss.

    Exit code 1 if the rule is refused.
    """
    from checking_core import DetectionError, SearchDetector
    from checking_core.plugin import PluginHost
    from checking_core.settings import BackendsSettings, read

    host = PluginHost.load()
    backends = host.backends(read(BackendsSettings))
    if to not in backends:
        raise ConfigurationError(f"no backend is called {to}; there are: {', '.join(sorted(backends)) or 'none'}")
    detector = host.create(to, backends[to])
    if not isinstance(detector, SearchDetector):
        raise ConfigurationError(f"backend {to}: {detector.platform} searches nothing, so it has no queries")
    try:
        sys.stdout.write(f"{detector.convert(str(rule)).rstrip()}\n")
    except DetectionError as error:
        sys.stderr.write(f"{rule.name} cannot be asked of {to}: {error}\n")
        return 1
    return 0


def record_steps(
    *,
    steps: Annotated[Path, Parameter(help="YAML file of what to do.")],
    into: Annotated[Path, Parameter(help="Folder to write operation.jsonl and telemetry.jsonl into.")],
    name: Annotated[str, Parameter(help="Name of the operation.")] = "Recorded operation",
    host: Annotated[str | None, Parameter(help="What to call this host in the recording.")] = None,
    folder: Annotated[Path, Parameter(help="Folder that the commands run in.")] = Path("/"),
) -> int:
    """Carry out commands on this host, and record them for a demo: as a red team would tell, and as a sensor would.

    Needs Linux, and no privileges beyond those of the commands.
    """
    from checking_plugin_sigma.recorder.record import read_steps, record, write

    with about_option("--steps"):
        planned = read_steps(steps)
    with about_option("--folder"):
        next(folder.iterdir(), None)
    with about_option("--into"):
        into.mkdir(parents=True, exist_ok=True)
    found = record(name, planned, host=host or platform.node(), folder=folder)
    with about_option("--into"):
        write(found, into)
    console().print(f"{len(found.messages)} steps, {len(found.events)} process starts: {into}")
    return 0


def _rules(path: Path) -> RuleSet:
    with about_option("--rules"):
        return load_rules(path, cache=RuleCache(default_folder()))


def _zone(name: str | None) -> tzinfo | None:
    if name is None:
        return None
    from checking_plugin_sigma.settings import zone_of

    try:
        return zone_of(name)
    except ValueError as error:
        raise ConfigurationError(f"--time-zone: {name} {error}") from None


def _files(places: list[str]) -> list[Path]:
    if not (files := files_of(places)):
        raise ConfigurationError(f"--events: {', '.join(places)}: there is no such file")
    return files


@contextmanager
def _progress(files: list[Path]) -> Iterator[Callable[[int], None]]:
    """A bar for people who wait at a terminal; what is read by a program sees nothing of it."""
    console = Console(stderr=True)
    total = sum(path.stat().st_size for path in files)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("Reading telemetry", total=total)
        yield lambda read: progress.advance(task, read)
