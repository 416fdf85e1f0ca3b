"""Every error of the API as one shape: RFC 9457 problem+json, with the keys of the original system beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from litestar.typing import FieldDefinition

from checking_core.errors import (
    BrokerUnavailableError,
    CheckingError,
    ConflictError,
    NotFoundError,
    RejectedMessageError,
    SchemaOutdatedError,
    StoreRejectedError,
    UnavailableError,
)

__all__ = [
    "RETRY_AFTER",
    "FieldError",
    "InvalidFieldsError",
    "Problem",
    "known",
    "outage",
    "problem_response",
    "problems",
]

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"

RETRY_AFTER = {"Retry-After": "5"}
"""Goes with every 503: seconds after which a restarted database usually answers again."""


_EVERYWHERE = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_OUR_WORDS = {HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Body Too Large"}
"""Of statuses that releases of Python call differently."""


class FieldError(msgspec.Struct, frozen=True):
    """One field of the request that is wrong, and what would be right."""

    field: str
    message: str


class InvalidFieldsError(CheckingError):
    """Several fields of a request are wrong.

    Args:
        detail: what became of the request.
        errors: each field, and what would be right.
    """

    def __init__(self, detail: str, errors: Sequence[FieldError]) -> None:
        super().__init__(detail)
        self.errors = tuple(errors)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request failed.

    ``status_code`` repeats ``status`` for clients of the original API; ``instance`` is the path that was asked;
    ``request_id`` is what the server's log lines of this request carry.
    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    status_code: int
    instance: str
    errors: tuple[FieldError, ...] = ()
    request_id: str


class _Answer(msgspec.Struct, frozen=True):
    status: int
    detail: str
    errors: tuple[FieldError, ...] = ()
    headers: Mapping[str, str] = {}


_MISSING = re.compile(r"^Object missing required field `(?P<name>[^`]+)`(?: - at `\$\.(?P<path>[^`]+)`)?$")
_INSIDE = re.compile(r"unknown field `(?P<unknown>[^`]+)`|(?P<cut> - at `\$\.(?P<path>[^`]+)`)")
_NO_TIME = "Invalid RFC3339 encoded datetime"
_TIME = "is no time; write it as 2026-11-20T19:28:40Z"
_UNEXPECTED = _Answer(
    HTTPStatus.INTERNAL_SERVER_ERROR, "an unexpected error; the server's log tells more under this request_id"
)


def problem_response(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """The answer to a request that failed: the one place where an error becomes a status."""
    if isinstance(error, RecursionError):  # of the decoder: nothing of ours goes as deep as a body may
        error = RejectedMessageError("$", "is nested too deep")
    answer = _of_framework(error, request) if isinstance(error, HTTPException) else _of_ours(error)
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log(answer.status, error)
    problem = Problem(
        title=HTTPStatus(answer.status).phrase,
        status=answer.status,
        detail=answer.detail,
        status_code=answer.status,
        instance=request.scope["path"],  # not of its URL, which a wrong Host makes unreadable
        errors=answer.errors,
        request_id=request.scope["state"]["request_id"],
    )
    return Response(problem, status_code=int(answer.status), headers=dict(answer.headers), media_type=MEDIA_TYPE)


def problems(*statuses: HTTPStatus) -> dict[int, ResponseSpec]:
    """The failures of a route, for its OpenAPI description, besides those that every route may have."""
    return {
        int(status): ResponseSpec(
            Problem, description=_OUR_WORDS.get(status, status.phrase), media_type=MEDIA_TYPE, generate_examples=False
        )
        for status in sorted({*_EVERYWHERE, *statuses})
    }


def known(kind: type[msgspec.Struct]) -> dict[int, ResponseSpec]:
    """The answer of a route that stores something to a request that tells nothing new, or tells more of the same."""
    told = ResponseSpec(kind, description="It is there already", generate_examples=False)
    return {int(HTTPStatus.OK): told}


def outage(error: UnavailableError) -> str:
    """What is away and what to do, for whoever asks; where it is stays in the log."""
    if isinstance(error, SchemaOutdatedError):
        return "the database schema is not the one this release needs; run: checking db upgrade"
    if isinstance(error, BrokerUnavailableError):
        return "the broker does not answer; nothing is lost, try again"
    return "the database does not answer; nothing is lost, try again"


def _of_ours(error: Exception) -> _Answer:
    match error:
        case InvalidFieldsError():
            return _Answer(HTTPStatus.BAD_REQUEST, str(error), error.errors)
        case RejectedMessageError():
            return _invalid(FieldError(error.field, error.problem))
        case StoreRejectedError():
            return _Answer(HTTPStatus.BAD_REQUEST, "the database can not store or compare a value of this request")
        case NotFoundError() | ConflictError():
            missing = isinstance(error, NotFoundError)
            return _Answer(HTTPStatus.NOT_FOUND if missing else HTTPStatus.CONFLICT, str(error))
        case UnavailableError():
            return _Answer(HTTPStatus.SERVICE_UNAVAILABLE, outage(error), headers=RETRY_AFTER)
        case _:
            return _UNEXPECTED


def _of_framework(error: HTTPException, request: Request[Any, Any, Any]) -> _Answer:
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _UNEXPECTED
    if error.status_code == HTTPStatus.BAD_REQUEST and isinstance(error.extra, list):
        return _invalid(*(_told(item, request) for item in error.extra))
    return _Answer(error.status_code, error.detail, headers=error.headers or {})


def _told(item: Mapping[str, str], request: Request[Any, Any, Any]) -> FieldError:
    """One error of the framework, by the name of the field that is wrong, be it inside of the body."""
    message = item["message"].replace(_NO_TIME, _TIME)
    if message == "'data'":  # all that the framework says of it
        return FieldError("$", "the body is missing: this needs one, of JSON")
    if missing := _MISSING.match(message):
        return FieldError(".".join(filter(None, (missing["path"], missing["name"]))), "is missing")
    inside = _INSIDE.search(message)
    if inside is None:
        return FieldError(_field(item, request), message + _choices(item, request))
    return FieldError(inside["path"] or inside["unknown"], message[: inside.start("cut")] if inside["cut"] else message)


def _field(item: Mapping[str, str], request: Request[Any, Any, Any]) -> str:
    """The name that the caller gave; a handler's own name for it may be another one."""
    found = (parameter.kwarg_definition for parameter in _parameters(item, request))
    return next((name for name in (getattr(one, "name", None) for one in found) if name), item.get("key", "$"))


def _choices(item: Mapping[str, str], request: Request[Any, Any, Any]) -> str:
    """Which words a parameter takes, if it takes only some."""
    if not item["message"].startswith("Invalid enum value"):
        return ""
    kinds = {kind for parameter in _parameters(item, request) for kind in _enums(parameter)}
    return "".join(f"; it is one of {', '.join(kind)}" for kind in kinds)


def _enums(parameter: FieldDefinition) -> Iterator[type[StrEnum]]:
    if isinstance(parameter.annotation, type) and issubclass(parameter.annotation, StrEnum):
        yield parameter.annotation
    for inner in parameter.inner_types:
        yield from _enums(inner)


def _parameters(item: Mapping[str, str], request: Request[Any, Any, Any]) -> Iterator[FieldDefinition]:
    """What a handler and what it depends on take under the name that the framework tells."""
    handler = request.route_handler
    given = (one.parsed_fn_signature for one in handler.resolve_dependencies().values())
    for signature in (handler.parsed_fn_signature, *given):
        if (parameter := signature.parameters.get(item.get("key", "$"))) is not None:
            yield parameter


def _invalid(*errors: FieldError) -> _Answer:
    return _Answer(HTTPStatus.BAD_REQUEST, "; ".join(f"{one.field}: {one.message}" for one in errors), errors)


def _log(status: int, error: Exception) -> None:
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        log.warning("request_postponed", problem=str(error))
    else:
        log.error("request_failed", exc_info=error)
