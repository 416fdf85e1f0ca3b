"""The command ``checking-worker``: a process that serves backends, with neither server nor database on its host.

Exit codes: 0 done, or stopped as told; 1 a backend cannot be used; 2 the call or a setting is wrong; 3 the broker is
away; 70 a detector blocked the process; 130 interrupted.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence

from checking_core.errors import CheckingError, UnavailableError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point: errors of ours are one line and an exit code, never a traceback.

    Args:
        arguments: of the command line, by default those of the process.
    """
    told = _parser().parse_args(arguments)
    from checking_core.worker import process  # not before, so that --help is quick

    try:
        if told.verb == "check":
            return process.check(told.backend)
        process.run(told.backend, concurrency=told.concurrency, host=told.host, drain=told.drain, grace=told.watchdog)
    except UnavailableError as error:
        return _say(error, 3)
    except CheckingError as error:
        return _say(error, 2)
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("checking-worker", description="Answers checks for the backends of this host.")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and leave")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="run | check")
    run = verbs.add_parser("run", help="serve until told to stop", description=_RUN)
    check = verbs.add_parser("check", help="ask each backend whether it can be reached", description=_CHECK)
    for verb in (run, check):
        verb.add_argument(
            "--backend",
            action="append",
            default=[],
            metavar="NAME",
            help="this one only; may be repeated (default: every configured one)",
        )
    run.add_argument("--concurrency", type=_count, metavar="N", help="looks at a time for each queue (default: 20)")
    run.add_argument("--host", metavar="NAME", help="this host, for backends that an agent answers (default: any)")
    run.add_argument(
        "--drain",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="time that running looks have after the stop (default: 30)",
    )
    run.add_argument(
        "--watchdog",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="time beyond its own time-out that a plugin may block everything (default: 30)",
    )
    return parser


_RUN = """\
Takes tasks from the broker, asks the backends, sends the results. SIGTERM or Ctrl-C ends it: what runs is answered, the
rest goes back to the broker. A second Ctrl-C leaves at once; nothing is lost by that either. Exit code 70: a plugin
blocked the whole process; the log names it, and the broker delivers its tasks again."""

_CHECK = "Starts the detector of each backend and lets it check itself. Exit code 1 if one cannot be used."


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        sys.stdout.write(f"{version('checking-core')}\n")
        parser.exit()


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 10000")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to 86400")
    return seconds


def _say(error: CheckingError, code: int) -> int:
    from checking_core.report.escape import visible

    sys.stderr.write(f"checking-worker: {visible(str(error))}\n")
    return code
