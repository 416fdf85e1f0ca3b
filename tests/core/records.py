"""Records and an execution that fit together: the tests change what they are about."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from checking_core.contracts import Ask, DetectionConfig
from checking_core.matching.identity import Identity, identity_of
from checking_core.matching.question import Question
from checking_core.matching.record import Alert, AnyRecord, Event
from checking_core.matching.sift import Sifted, sift
from checking_core.matching.window import Window
from checking_core.testing.builders import ENDED, STARTED, a_context

COMMAND = a_context().command
PID = 4242
ACCEPTED = Window(STARTED, ENDED + timedelta(minutes=15))
"""When the traces of the execution may lie."""
TELEMETRY = Question(ask=Ask.TELEMETRY, named=True)
ANY_ALERT = Question(ask=Ask.ALERT)
"""Asks for an alert of this execution, whatever its rule."""


def after(seconds: float) -> datetime:
    return STARTED + timedelta(seconds=seconds)


def an_identity(config: dict[str, Any] | None = None, **context: Any) -> Identity:
    """The execution's; keywords change what is known of it."""
    return identity_of(a_context(**context), DetectionConfig.model_validate(config or {}))


def an_event(**changes: Any) -> Event:
    """Of the execution's host, half a second after its start."""
    return msgspec.structs.replace(Event(id="event-1", hosts=("ws01",), event_at=after(0.5)), **changes)


def an_alert(**changes: Any) -> Alert:
    """Of the execution's host, half a second after its start; raised half a minute later."""
    plain = Alert(id="alert-1", hosts=("ws01",), event_at=after(0.5), created_at=after(30), rule="LSASS dump")
    return msgspec.structs.replace(plain, **changes)


def sifted(
    *records: AnyRecord,
    question: Question = ANY_ALERT,
    identity: Identity | None = None,
    accepted: Window = ACCEPTED,
) -> Sifted:
    """The records told apart."""
    return sift(records, question, identity or an_identity(), accepted)


def why_not(record: AnyRecord, **about: Any) -> tuple[str, bool] | None:
    """The reason why a record does not belong, and whether that is certain; ``None`` if it does."""
    found = sifted(record, **about)
    return next(((miss.reason, miss.certain) for miss in (*found.rejected, *found.undecided)), None)


def tie_of(record: AnyRecord, **about: Any) -> tuple[str, tuple[str, ...]] | None:
    """The tier and the fields that tie a record to the execution; ``None`` if it does not belong."""
    found = sifted(record, **about)
    return next(((match.tie.tier.value, match.tie.fields) for match in found.matched), None)
