"""One configuration for structlog and the standard library: what both say goes through the same processors."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from checking_core.errors import ConfigurationError
from checking_core.log.redact import escaped, tidy

if TYPE_CHECKING:
    from structlog.typing import Processor

__all__ = ["LogFormat", "bind", "configure"]

_FILE_BYTES = 10 * 1024 * 1024
_OLD_FILES = 5
_TALKATIVE = ("aio_pika", "aiormq", "alembic", "httpcore", "httpx", "sqlalchemy", "uvicorn", "uvicorn.access")
_RAISED_AS_WELL = (
    ("aiormq.connection", "error when creating transport: %r"),
    ("aiormq.connection", "Cancelling cause reader exited abnormally"),
)


class LogFormat(StrEnum):
    """For eyes or for machines."""

    CONSOLE = "console"
    JSON = "json"


def configure(level: str = "INFO", form: LogFormat = LogFormat.CONSOLE, file: Path | None = None) -> None:
    """Send every log line to stderr, and to ``file`` as well. Called by entry points; the last call counts.

    Args:
        level: DEBUG, INFO, WARNING, ERROR or CRITICAL.
        form: how a line looks, on stderr and in the file.
        file: rotated at 10 MB; five old ones are kept.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    import structlog  # not at the top: it is slow to load, and whoever only masks a URL logs nothing

    before = _before()
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    terminal = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    handlers = [_handler(_Stderr(), before, _renderer(form, colors=terminal))]
    if file is not None:
        handlers.append(_handler(_rotated(file), before, _renderer(form, colors=False)))
    _install(handlers, level)


@contextmanager
def bind(**fields: object) -> Iterator[None]:
    """Put fields on every line that is logged inside the block, by the tasks started in it too.

    Args:
        fields: ``request_id``, ``operation_id``, ``check_id``, ...; ``None`` is left out.
    """
    from structlog.contextvars import bound_contextvars

    with bound_contextvars(**{name: value for name, value in fields.items() if value is not None}):
        yield


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what ``sys.stderr`` is at that moment: a progress display takes its place while it draws."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def _before() -> list[Processor]:
    """What every line gets, ours and the libraries'."""
    import structlog

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]


def _renderer(form: LogFormat, *, colors: bool) -> list[Processor]:
    import structlog

    if form is LogFormat.JSON:
        return [tidy, structlog.processors.JSONRenderer()]
    # The default formatter of exceptions prints local variables, secrets among them.
    console = structlog.dev.ConsoleRenderer(
        colors=colors, repr_native_str=True, exception_formatter=structlog.dev.plain_traceback
    )
    return [tidy, _one_line, console]


def _one_line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """A processor: nothing that was logged can look like another line, or steer the terminal."""
    found = {escaped(key): value for key, value in event.items()}
    found["event"] = escaped(str(found.get("event", "")))
    if traceback := found.get("exception"):
        found["exception"] = "\n".join(f"    {escaped(line)}" for line in str(traceback).split("\n"))
    return found


def _handler(handler: logging.Handler, before: list[Processor], after: list[Processor]) -> logging.Handler:
    from structlog.stdlib import ProcessorFormatter

    handler.setFormatter(
        ProcessorFormatter(foreign_pre_chain=before, processors=[ProcessorFormatter.remove_processors_meta, *after])
    )
    handler.addFilter(_is_news)
    handler.name = __name__
    return handler


def _is_news(record: logging.LogRecord) -> bool:
    """Not what a library both logs and raises: whoever catches it tells it in our words."""
    return (record.name, record.msg) not in _RAISED_AS_WELL


def _rotated(file: Path) -> logging.Handler:
    from logging.handlers import RotatingFileHandler

    try:
        return RotatingFileHandler(
            file, maxBytes=_FILE_BYTES, backupCount=_OLD_FILES, encoding="utf-8", errors="backslashreplace"
        )
    except OSError as error:
        raise ConfigurationError(f"CHECKING_LOG_FILE: {file} cannot be written: {error.strerror}") from error


def _install(handlers: list[logging.Handler], level: str) -> None:
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if handler.name == __name__]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    for name in _TALKATIVE:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(max(logging.WARNING, root.level))
