"""Arguments that several commands take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from checking_core.errors import ConfigurationError

__all__ = ["Source", "refuse_missing"]


def _is_no_option(_: Any, value: str | Sequence[str]) -> None:
    """A hyphen alone is stdin; anything else that begins with one was meant as an option."""
    for word in [value] if isinstance(value, str) else value:
        if word.startswith("-") and word != "-":
            raise ValueError(f"{word} is no option of this command.")


Source = Annotated[str, Parameter(allow_leading_hyphen=True, validator=_is_no_option)]
"""A file to read, ``-`` for stdin."""


def refuse_missing(paths: Iterable[Path]) -> None:
    """Raise ``ConfigurationError`` for a file or folder that was named and is not there."""
    for path in paths:
        if not path.exists():
            raise ConfigurationError(f"{path}: is not there")
