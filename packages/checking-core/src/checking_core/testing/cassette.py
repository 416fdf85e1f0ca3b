"""Record what a backend answered, with its secrets removed, and play it back without the backend.

A cassette is a file of JSON lines, one for each question and its answer, in the order in which they were asked. It is
made to be read, and to be put beside a test.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel

from checking_core import errors
from checking_core.contracts import DetectionConfig
from checking_core.errors import DetectionError, FatalDetectionError
from checking_core.log.redact import MASK, is_secret, masked
from checking_core.plugin.detector import SearchDetector
from checking_core.plugin.search import Rule, SearchAnswer, SearchRequest
from checking_core.worker.boundary import secrets_of

__all__ = ["record", "replay"]

D = TypeVar("D", bound=SearchDetector)
T = TypeVar("T")


class _Failure(msgspec.Struct, frozen=True):
    """An error as it was raised."""

    type: str
    message: str
    reason: str | None = None
    retry_after: float | None = None

    @classmethod
    def of(cls, error: DetectionError) -> _Failure:
        retry_after = getattr(error, "retry_after", None)
        seconds = retry_after.total_seconds() if isinstance(retry_after, timedelta) else None
        return cls(type(error).__name__, str(error), error.reason, seconds)

    def again(self) -> DetectionError:
        """The same error; of a class that only the plugin knows, what it has in common with ours."""
        known = getattr(errors, self.type, FatalDetectionError)
        options: dict[str, Any] = {"reason": self.reason}
        if self.retry_after is not None:
            options["retry_after"] = timedelta(seconds=self.retry_after)
        error: DetectionError = known(self.message, **options)
        return error


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A question and what came of it: an answer, or an error."""

    question: dict[str, Any]
    answer: Any = None
    error: _Failure | None = None


def record(detector: type[D], path: Path) -> type[D]:
    """The detector, which writes down what its backend answers.

    Secrets are taken out: those in the settings, fields that are named like one, and passwords in addresses.

    Args:
        detector: a class; what is made of it asks the backend as ever.
        path: the cassette, which is written anew.
    """
    path.write_text("", encoding="utf-8")

    async def noted(self: D, question: dict[str, Any], answer: Awaitable[T]) -> T:
        try:
            found = await answer
        except DetectionError as error:
            _append(path, _Entry(question=question, error=_Failure.of(error)), self.settings)
            raise
        _append(path, _Entry(question=question, answer=found), self.settings)
        return found

    async def search(self: D, request: SearchRequest) -> SearchAnswer:
        return await noted(self, _question(request), detector.search(self, request))

    async def host_names(self: D, host: str) -> Sequence[str]:
        return await noted(self, {"host_names": host}, detector.host_names(self, host))

    async def rules(self: D) -> Sequence[Rule] | None:
        return await noted(self, {"rules": None}, detector.rules(self))

    return _changed(detector, "Recording", {"search": search, "host_names": host_names, "rules": rules})


def replay(detector: type[D], path: Path) -> type[D]:
    """The detector, which gets the answers of a cassette and reaches no backend.

    The answers to one question come in the order in which they were recorded, the last of them again and again. A
    question that was not recorded is a ``FatalDetectionError``.

    Args:
        detector: a class; what it does with an answer stays as it is.
        path: the cassette.
    """
    entries: dict[bytes, list[_Entry]] = defaultdict(list)
    for line in path.read_bytes().splitlines():
        entry = msgspec.json.decode(line, type=_Entry)
        entries[_key(entry.question)].append(entry)

    def played(question: dict[str, Any], kind: Any) -> Any:
        left = entries.get(_key(question))
        if not left:
            raise FatalDetectionError(f"{path.name} has no answer to {msgspec.json.encode(question).decode()[:500]}")
        entry = left.pop(0) if len(left) > 1 else left[0]
        if entry.error is not None:
            raise entry.error.again()
        return msgspec.convert(entry.answer, kind)

    async def nothing(_: D) -> None:
        """There is no backend."""

    async def search(_: D, request: SearchRequest) -> SearchAnswer:
        answer: SearchAnswer = played(_question(request), SearchAnswer)
        return answer

    async def host_names(_: D, host: str) -> Sequence[str]:
        names: Sequence[str] = played({"host_names": host}, tuple[str, ...])
        return names

    async def rules(_: D) -> Sequence[Rule] | None:
        known: Sequence[Rule] | None = played({"rules": None}, tuple[Rule, ...] | None)
        return known

    methods: dict[str, Callable[..., Any]]
    methods = {"start": nothing, "close": nothing, "search": search, "host_names": host_names, "rules": rules}
    return _changed(detector, "Replaying", methods)


def _changed(detector: type[D], how: str, methods: dict[str, Callable[..., Any]]) -> type[D]:
    """A subclass; a question that the plugin does not put is not put by it either."""
    unused = {name for name in ("host_names", "rules") if getattr(detector, name) is getattr(SearchDetector, name)}
    kept = {name: method for name, method in methods.items() if name not in unused}
    return type(f"{how}{detector.__name__}", (detector,), kept)


def _question(request: SearchRequest) -> dict[str, Any]:
    """What is asked, without what depends on when it is asked: of the window, only where it begins."""
    told: dict[str, Any] = {
        "search": request.ask.value,
        "query": request.query,
        "language": request.language,
        "index": request.index,
        "alert": request.alert.model_dump(mode="json", exclude_defaults=True) if request.alert else None,
        "hosts": list(request.hosts),
        "since": request.window.start.isoformat(),
        "config": request.config.model_dump(mode="json", exclude=set(DetectionConfig.model_fields)),
    }
    return {name: value for name, value in told.items() if value or name == "search"}


def _key(question: dict[str, Any]) -> bytes:
    return msgspec.json.encode(question, order="deterministic")


def _append(path: Path, entry: _Entry, settings: object) -> None:
    secrets = sorted(secrets_of(settings), key=len, reverse=True) if isinstance(settings, BaseModel) else []
    plain = msgspec.json.decode(msgspec.json.encode(entry, enc_hook=str))
    with path.open("ab") as file:
        file.write(msgspec.json.encode(_without(plain, secrets)) + b"\n")


def _without(value: Any, secrets: Sequence[str]) -> Any:
    match value:
        case str():
            for secret in secrets:
                value = value.replace(secret, MASK)
            return masked(value)
        case dict():
            return {
                _without(name, secrets): MASK if is_secret(name) and item else _without(item, secrets)
                for name, item in value.items()
            }
        case list():
            return [_without(item, secrets) for item in value]
    return value
