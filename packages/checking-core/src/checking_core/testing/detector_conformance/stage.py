"""What the author of a detector tells the kit: how to play the product, and which rules do not apply."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar

from checking_core.contracts import Ask
from checking_core.matching.record import AnyRecord
from checking_core.plugin.base import BaseWorker
from checking_core.testing.builders import ENDED

__all__ = ["RETRY_AFTER", "KitClock", "Relaxation", "Stage", "Trouble"]

RETRY_AFTER = timedelta(minutes=2)
"""How long a product that limits its callers asks them to wait."""


class Trouble(StrEnum):
    """What the product suffers from."""

    AWAY = "away"
    """It refuses connections, or answers with a server error."""
    REFUSES = "refuses"
    """The credentials are wrong: 401."""
    LIMITS = "limits"
    """Too many requests: 429, and to come back after ``RETRY_AFTER``."""
    HANGS = "hangs"
    """It takes the question and never answers."""
    PARTIAL = "partial"
    """It answers with what it has, and says that a part of its data is away."""
    GARBLED = "garbled"
    """It says something that cannot be read, such as a proxy's page with status 200."""


class Relaxation(StrEnum):
    """What a product or a detector may lack, so that the rules about it do not apply."""

    RECORDS = "records"
    """It answers without handing over the records that core could compare."""
    CREDENTIALS = "credentials"
    RATE_LIMIT = "rate_limit"
    TIME_OUT = "time_out"
    """Asking cannot hang."""
    PARTIAL_ANSWER = "partial_answer"
    GARBLED_ANSWER = "garbled_answer"
    PAGES = "pages"
    PLACEHOLDERS = "placeholders"
    SECRETS = "secrets"
    """There is no secret in its settings."""
    ENTRY_POINT = "entry_point"
    """It is not installed as a plugin."""


class Stage(ABC):
    """The product, played: by respx, by a server of the test, by a file."""

    secret: ClassVar[str] = "s3cret-0f-the-st4ge"  # noqa: S105 - of the play
    """What the detector's settings hold as its credential, wherever they have one."""

    @abstractmethod
    def detector(self, **options: Any) -> BaseWorker:
        """A new detector that asks this product. The options are those of ``BaseWorker``, to be passed on."""

    @abstractmethod
    def show(self, ask: Ask, *records: AnyRecord) -> None:
        """From now on the product has these records, and no others, for the question ``ask``.

        They are given in core's words; the stage writes them in the product's, with all that this can tell, and with
        the same id.
        """

    @abstractmethod
    def suffer(self, trouble: Trouble | None) -> None:
        """From now on the product meets every request with this; ``None``: it is well again."""


class KitClock:
    """The time in a test of the kit: after the deadline of the execution's checks, later with each look."""

    def __init__(self) -> None:
        self.now = ENDED + timedelta(seconds=1300)

    def __call__(self) -> datetime:
        """The present time."""
        return self.now
