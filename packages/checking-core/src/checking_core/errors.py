"""One tree of errors, split by what happens next.

Every class says what the caller does with it: wait (``Unavailable``), dead-letter (``Rejected``), try again
(``Retriable``), give up with a reason (``Fatal``), tell the person (``Configuration``, ``NotFound``, ``Conflict``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = [
    "BackendAuthFailedError",
    "BackendPartialAnswerError",
    "BackendRateLimitedError",
    "BackendUnreachableError",
    "BrokerUnavailableError",
    "CheckingError",
    "ConfigurationError",
    "ConflictError",
    "DetectionError",
    "FatalDetectionError",
    "NotFoundError",
    "PublishError",
    "QueryInvalidError",
    "RejectedMessageError",
    "RetriableDetectionError",
    "SchemaOutdatedError",
    "StoreRejectedError",
    "StoreUnavailableError",
    "UnavailableError",
    "UnroutableError",
    "first_of_ours",
]


class CheckingError(Exception):
    """Root of everything this project raises on purpose."""


def first_of_ours(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that people and exit codes want, of those that a task group hides in groups of groups."""
    found: BaseException = group.subgroup(CheckingError) or group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


# --- the person has to change something -------------------------------------------------------------------


class ConfigurationError(CheckingError):
    """A setting, file or argument is wrong: one line for the person, exit code 2."""


class NotFoundError(CheckingError):
    """What was asked for is not there: 404, exit code 2."""


class ConflictError(CheckingError):
    """The move is illegal in the present state: 409; nothing was changed."""


# --- the message can never be accepted --------------------------------------------------------------------


class RejectedMessageError(CheckingError):
    """The message is malformed, too large or of an unknown kind: dead-lettered at once, never repeated.

    Args:
        field: dotted path of the field that is wrong, ``$`` for the whole message.
        problem: what is wrong and what would be right, without the field's (hostile) value.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


# --- something outside is away: keep the work, wait, try again ----------------------------------------------


class UnavailableError(CheckingError):
    """A service we rest on is away: nothing is lost, work waits. On the command line exit code 3."""


class StoreUnavailableError(UnavailableError):
    """The database does not answer."""


class SchemaOutdatedError(UnavailableError):
    """The database answers but its schema is not the one this version needs: ``checking db upgrade``."""


class BrokerUnavailableError(UnavailableError):
    """The broker does not answer."""


class StoreRejectedError(CheckingError):
    """The database refused a row for what it contains: repeating the same batch cannot help; bisect it."""


class PublishError(CheckingError):
    """The broker did not take responsibility for a message: the check goes back to the store."""


class UnroutableError(PublishError):
    """No queue takes the routing key: nobody serves that backend at the moment."""


# --- a detector could not answer ---------------------------------------------------------------------------


class DetectionError(CheckingError):
    """A detector could not answer.

    Args:
        message: for the log and the result; no secrets, no bodies.
        reason: value of ``contracts.Reason`` that explains an inconclusive verdict.
    """

    default_reason: ClassVar[str] = "plugin_error"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason or self.default_reason


class RetriableDetectionError(DetectionError):
    """The same question may be answered in a moment.

    Args:
        message: what happened.
        reason: see ``DetectionError``.
        retry_after: how long the backend asked us to wait, if it did.
    """

    default_reason = "backend_unreachable"

    def __init__(self, message: str, *, reason: str | None = None, retry_after: timedelta | None = None) -> None:
        super().__init__(message, reason=reason)
        self.retry_after = retry_after


class BackendUnreachableError(RetriableDetectionError):
    """No connection, a time-out, or a server error."""


class BackendRateLimitedError(RetriableDetectionError):
    """The backend asked us to slow down."""

    default_reason = "backend_rate_limited"


class BackendPartialAnswerError(RetriableDetectionError):
    """The backend answered from a part of its data only and nothing of that part can be used."""

    default_reason = "backend_partial_answer"


class FatalDetectionError(DetectionError):
    """Asking again cannot help."""


class BackendAuthFailedError(FatalDetectionError):
    """The credentials are wrong or not sufficient."""

    default_reason = "backend_auth_failed"


class QueryInvalidError(FatalDetectionError):
    """The question itself is wrong: syntax, unknown placeholder, missing scope."""

    default_reason = "query_invalid"
