"""``Idempotency-Key``: a request that is sent again, because nobody knows what became of it, is carried out once."""

from __future__ import annotations

import gzip
import hashlib
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, cast
from uuid import UUID

import structlog
from litestar import Request, Response
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from checking_core.errors import ConflictError, RejectedMessageError, UnavailableError
from checking_core.storage import Store
from checking_server.api.guards import principal_of

__all__ = ["HEADER", "LONGEST", "NOT_KEPT", "REPLAYED", "Once", "is_kept"]

log = structlog.get_logger(__name__)

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
"""Stands in an answer that was given before."""

NOT_KEPT: Final = {"kept": False}
"""``opt`` of a route whose answers are secrets: they are stored nowhere."""

LONGEST = 255
"""Characters of a key."""
_CLAIM = "idempotency_key"


def is_kept(handler: BaseRouteHandler) -> bool:
    """Whether answers of this route may be stored."""
    return handler.opt.get("kept") is not False


class Once(ASGIMiddleware):
    """Keeps what a POST with the header was answered for a day, and answers the same request so again.

    A key is its sender's own: nobody else's request is mistaken for it. What failed changed nothing and is not kept.

    Args:
        store: where answers are kept, for all processes of an API.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, store: Store) -> None:
        self._store = store

    async def claim(self, request: Request[Any, Any, Any]) -> Response[bytes] | None:
        """The answer that was given before; called once it is known who asks.

        Raises:
            RejectedMessageError: the key is none.
            ConflictError: the same request is under way.
            HTTPException: 422, the key stands for another request.
            StoreUnavailableError: nothing was done.
        """
        word = request.headers.get(HEADER)
        if word is None or request.method != "POST":
            return None
        if not is_kept(request.route_handler):
            raise RejectedMessageError(HEADER, "is not for what answers a secret, which is kept nowhere; leave it out")
        if not 0 < len(word) <= LONGEST:
            raise RejectedMessageError(HEADER, f"has {len(word)} characters; 1 to {LONGEST} are read")
        key, fingerprint = _key(request, word), hashlib.sha256(await request.body()).hexdigest()
        async with self._store.begin() as uow:
            before, begun = await uow.idempotency_keys.claim(key, fingerprint), uow.now
        if before is None:
            request.scope["state"][_CLAIM] = key, begun
            return None
        if before["fingerprint"] != fingerprint:
            detail = f"this {HEADER} stands for another request already; take a new one for each"
            raise HTTPException(detail, status_code=HTTPStatus.UNPROCESSABLE_ENTITY)
        if before["status"] is None:
            raise ConflictError("the same request is under way; ask again in a moment")
        headers = {REPLAYED: "true"}
        return Response(
            before["body"],
            status_code=before["status"],
            media_type=before["media_type"] or None,
            headers=headers,
        )

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Keep the answer to a request that claimed a key, before the last of it is sent."""
        answer = _Heard()

        async def hear(message: Message) -> None:
            if (claim := scope["state"].get(_CLAIM)) is not None:
                answer.hear(message)
                if answer.whole:
                    key, begun = claim
                    await self._settle(key, begun, answer)
            await send(message)

        await next_app(scope, receive, hear)

    async def _settle(self, key: UUID, begun: datetime, answer: _Heard) -> None:
        try:
            async with self._store.begin() as uow:
                if answer.status < HTTPStatus.MULTIPLE_CHOICES:
                    keys, body = uow.idempotency_keys, answer.body
                    await keys.keep(key, begun, status=answer.status, media_type=answer.media_type, body=body)
                else:
                    await uow.idempotency_keys.drop(key, begun)
        except UnavailableError as error:  # the same again is told that it is under way, for a minute
            log.warning("answer_not_kept", problem=str(error))


class _Heard:
    """An answer on its way."""

    def __init__(self) -> None:
        self.status = 0
        self.media_type = ""
        self.whole = False
        self._packed = False
        self._sent = bytearray()

    @property
    def body(self) -> bytes:
        """What was said. It may have been packed for this sender, and be asked for by one who does not unpack."""
        return gzip.decompress(self._sent) if self._packed else bytes(self._sent)

    def hear(self, message: Message) -> None:
        told = cast("dict[str, Any]", message)
        if told["type"] == "http.response.start":
            self.status = int(told["status"])
            headers = dict(told["headers"])
            self.media_type = headers.get(b"content-type", b"").decode("latin-1")
            self._packed = headers.get(b"content-encoding") == b"gzip"
        elif told["type"] == "http.response.body":
            self._sent += told.get("body", b"")
            self.whole = not told.get("more_body", False)


def _key(request: Request[Any, Any, Any], word: str) -> UUID:
    """Of whom, where and which; as long as a digest, whatever they say."""
    principal = principal_of(request)
    parts = (str(principal.key_id), request.scope["path"], request.scope["query_string"].decode("latin-1"), word)
    return UUID(bytes=hashlib.sha256("\0".join(parts).encode()).digest()[:16])
