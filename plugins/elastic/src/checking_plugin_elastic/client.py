"""Elasticsearch over HTTP: which route answers which question, and what its errors mean."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from checking_core import BackendUnreachableError, DetectionError, FatalDetectionError
from checking_core.plugin.fields import texts_at
from checking_core.plugin.http import HttpClient, HttpReply
from checking_core.plugin.http_failure import failure_of
from checking_plugin_elastic.settings import ElasticSettings

__all__ = ["Call", "ElasticClient", "path_of"]

_PASSES = frozenset({"es_rejected_execution_exception", "circuit_breaking_exception"})


class Call(NamedTuple):
    """One request. ``strict`` are the parameters that forbid partial answers; old servers know not all of them."""

    path: str
    body: Mapping[str, Any]
    strict: tuple[str, ...] = ()
    params: Mapping[str, str] = {}

    @property
    def route(self) -> str:
        """Its path without an index: each has parameters of its own."""
        return re.sub(r"^/[^_/][^/]*", "", self.path)


class ElasticClient:
    """Plain JSON, as every version from 7 on, serverless, and OpenSearch understand it."""

    def __init__(self, settings: ElasticSettings, clock: Callable[[], datetime]) -> None:
        headers = {"Authorization": settings.authorization, "Content-Type": "application/json"}
        self._http = HttpClient(settings.address, settings, headers=headers, clock=clock)
        self._unknown: defaultdict[str, set[str]] = defaultdict(set)

    async def search(self, call: Call) -> HttpReply:
        """Ask, without partial answers wherever the server lets us say so.

        Raises:
            DetectionError: whatever is not an answer.
        """
        unknown_here = self._unknown[call.route]
        while True:
            strict = {name: "false" for name in call.strict if name not in unknown_here}
            reply = await self._http.ask("POST", call.path, params={**call.params, **strict}, json=call.body)
            if reply.status == 200:
                return reply
            unknown = {name for name in strict if reply.status == 400 and f"[{name}]" in _words_of(reply)}
            if not unknown:
                raise _failure_of(reply)
            unknown_here |= unknown  # a version that never answers in part by itself

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.close()


def path_of(index: str, route: str) -> str:
    """The path of a route below an index."""
    return f"/{quote(index, safe=',*:-.+_')}/{route}"


def _failure_of(reply: HttpReply) -> DetectionError:
    """What went wrong. A server error passes if the cluster is busy, or somebody in between answered; a bug stays."""
    error = _error_in(reply)
    kinds = set(texts_at(error, "type", "root_cause.type", "caused_by.type", "failed_shards.reason.type"))
    if reply.status != 500 or not kinds:
        return failure_of(reply, _words_of(reply))
    if kinds & _PASSES:
        return BackendUnreachableError(f"HTTP 500: {_words_of(reply)}")
    return FatalDetectionError(f"HTTP 500: {_words_of(reply)}")


def _error_in(reply: HttpReply) -> Mapping[str, Any]:
    try:
        error = reply.json().get("error")
    except BackendUnreachableError:
        return {}
    return error if isinstance(error, Mapping) else {"reason": error}


def _words_of(reply: HttpReply) -> str:
    """The types and reasons of an error, the outer ones first."""
    error = _error_in(reply)
    return ": ".join(texts_at(error, "type", "reason", "root_cause.type", "root_cause.reason", "caused_by.reason"))
