"""Which option of a command a problem is about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from checking_core.errors import ConfigurationError

__all__ = ["about_option"]


@contextmanager
def about_option(name: str) -> Iterator[None]:
    """Name the option in whatever is wrong with its value.

    Raises:
        ConfigurationError: what was raised within, or the operating system's refusal.
    """
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from error
    except OSError as error:
        raise ConfigurationError(f"{name}: {error.filename}: {error.strerror}") from error
