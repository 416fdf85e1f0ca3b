"""``checking check``: one question to one backend, about one execution, with neither server nor database."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from checking_core.contracts import Expect, Met, Outcome, Reason
from checking_core.errors import ConfigurationError

if TYPE_CHECKING:
    from checking_core import Checked

__all__ = ["check"]

_AWAY = frozenset({Reason.BACKEND_UNREACHABLE, Reason.BACKEND_RATE_LIMITED})
_CALL_IS_WRONG = frozenset(
    {Reason.QUERY_INVALID, Reason.NOT_CONVERTIBLE, Reason.CAPABILITY_MISSING, Reason.BACKEND_AUTH_FAILED}
)
_NO_VERDICT = (Outcome.INCONCLUSIVE, Outcome.NOT_APPLICABLE)

Text = str | None
Said = Parameter(allow_leading_hyphen=True)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Ran:
    """What is known of the execution."""

    host: Annotated[str, Parameter(help="Where it ran.")]
    at: Annotated[str, Parameter(help="When it began: 2026-11-20T19:28:38Z, or with an offset.")]
    until: Annotated[Text, Parameter(help="When it ended; by default when it began.")] = None
    command: Annotated[Text, Said, Parameter(help="What was run there.")] = None
    pid: Annotated[int | None, Parameter(help="Its process id.")] = None
    user: Annotated[Text, Parameter(help="Whose account ran it.")] = None
    technique: Annotated[Text, Parameter(help="Its ATT&CK technique.")] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Questions:
    """What is asked about it."""

    query: Annotated[Text, Said, Parameter(help="Does this logic hit the telemetry?")] = None
    language: Annotated[Text, Parameter(help="Of --query.")] = None
    alert_rule: Annotated[Text, Parameter(help="Did this rule of the product raise an alert?")] = None
    telemetry: Annotated[Text, Said, Parameter(help="Is the raw trace there?")] = None
    alive: Annotated[Text, Said, Parameter(help="Did the source report at all?")] = None
    config: Annotated[Text, Parameter(help="More detection_config: YAML or JSON, or @FILE.")] = None
    expect: Annotated[Expect | None, Parameter(help="The wanted outcome: exit code 1 unless it is met.")] = None

    def as_config(self) -> dict[str, Any]:
        """The options and what was written as configuration, as one; each question may be told once."""
        options = {
            "query": self.query,
            "query_language": self.language,
            "alert": _section("rule", self.alert_rule),
            "telemetry": _section("query", self.telemetry),
            "alive": _section("query", self.alive),
            "expect": self.expect.value if self.expect else None,
        }
        given = {key: value for key, value in options.items() if value is not None}
        told = {} if self.config is None else _read_config(self.config)
        if both := sorted(told.keys() & given.keys()):
            raise ConfigurationError(f"--config: tells {both[0]}, which an option tells as well; keep one of them")
        return told | given


async def check(
    *,
    platform: Annotated[str, Parameter(("--platform", "--backend"), help="The configured backend, or a platform.")],
    ran: Ran,
    questions: Questions = Questions(),
    format: Annotated[  # noqa: A002 - the option is --format
        Literal["text", "json"], Parameter(help="For a person, or for a program.")
    ] = "text",
) -> int:
    """Ask a backend once what it saw of one execution. Without any question: all alerts of the host.

    Exit code 1 if --expect is not met, 2 if the backend cannot be asked this, 3 if it is away.
    """
    import sys

    from checking_core.settings import LogSettings, read
    from checking_core.worker.check_once import check as ask
    from checking_server.commands.logs import log_problems
    from checking_server.commands.terminal import say, terminal

    log_problems(read(LogSettings), least="ERROR")  # what went wrong stands in the result
    asked = questions.as_config()
    known: Any = {name: value for name, value in asdict(ran).items() if value is not None}
    found = await ask(platform, asked, **known)
    if format == "json":
        _print_json(found)
    else:
        from checking_server.commands.check_text import show_checked

        show_checked(found, terminal())
    if error := found.result.result_metadata.get("error"):
        say(terminal(sys.stderr), f"checking: {found.result.result_source}: {found.result.reason}: {error}", "red")
    return _exit_code(found, wanted="expect" in asked)


def _section(key: str, value: Text) -> dict[str, str] | None:
    return None if value is None else {key: value}


def _read_config(text: str) -> dict[str, Any]:
    from pathlib import Path

    from checking_core.expectations.document import read_document

    body = text.encode(errors="replace")
    if text.startswith("@"):
        try:
            body = Path(text[1:]).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"--config: {text[1:]} cannot be read: {error.strerror}") from None
    value = read_document("--config", body).value
    if not isinstance(value, dict):
        raise ConfigurationError("--config: is no mapping; write it as '{settle: 30, control: false}'")
    return value


def _exit_code(found: Checked, *, wanted: bool) -> int:
    result = found.result
    if result.outcome in _NO_VERDICT and result.reason in _AWAY:
        return 3
    if result.outcome in _NO_VERDICT and result.reason in _CALL_IS_WRONG:
        return 2
    return 1 if wanted and found.met is not Met.YES else 0


def _print_json(found: Checked) -> None:
    """The result as a worker would send it, and what it is measured against."""
    import json
    import sys

    import msgspec

    from checking_core.report.escape import json_text

    about = {"expect": found.expect, "met": found.met, "deadline": found.task.deadline}
    told = msgspec.to_builtins({**about, **msgspec.structs.asdict(found.result)})
    sys.stdout.write(json_text(json.dumps(told, indent=2, ensure_ascii=False)) + "\n")
