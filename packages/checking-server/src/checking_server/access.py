"""Who asks: API keys, and the short-lived tokens that are made from them.

A key is ``chk_``, a prefix that finds its row, and 256 random bits of which the row keeps the SHA-256: that is enough,
for nobody guesses 256 bits. A token names its key, and is good for nothing once that is revoked.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import jwt
import msgspec
import structlog
from sqlalchemy import RowMapping
from uuid_utils.compat import uuid7

from checking_core.contracts import AccessRole
from checking_core.errors import CheckingError, ConfigurationError, NotFoundError, UnavailableError
from checking_core.storage import Store, UnitOfWork
from checking_core.storage.api_keys import use_is_due
from checking_core.storage.audit import Author

__all__ = ["Keyring", "Principal", "RefusedError", "Scope", "create_key", "revoke_key", "scopes_named"]

log = structlog.get_logger(__name__)

_KEY = re.compile(r"chk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_REMEMBERED = 5.0
"""Seconds until a key is looked up again: so long a revoked one may still be good."""
_MOST_REMEMBERED = 1_000
_LAST_WORD = 1.0
"""Seconds that what is being noted has at the stop."""
_ISSUER = "checking"
_ALGORITHM = "HS256"


class RefusedError(CheckingError):
    """Nobody is known by what came with the request: 401."""


class Scope(StrEnum):
    """A group of routes that a key can be confined to; a key without any may use all that its role allows."""

    OPERATIONS = "operations"
    EXECUTIONS = "executions"
    CHECKS = "checks"
    RESULTS = "results"
    INGEST = "ingest"
    HEALTH = "health"
    ACCESS = "access"
    EVENTS = "events"
    PLUGINS = "plugins"
    DEAD_LETTERS = "dead_letters"
    STATISTICS = "statistics"
    METRICS = "metrics"


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is known: by a key, by a token of a key (``by_token``), or because nobody is asked."""

    name: str
    role: AccessRole
    key_id: UUID | None = None
    scopes: frozenset[Scope] = frozenset()
    by_token: bool = False


class Keyring:
    """Knows people by keys and tokens.

    Args:
        store: where the keys are.
        signing: secrets of tokens: the first signs, any of them verifies. Without any a new one is made, and tokens
            end with the process.
        lifetime: of a token.
    """

    def __init__(self, store: Store, *, signing: Sequence[str] = (), lifetime: timedelta) -> None:
        self._store = store
        self._signing = tuple(signing) or (secrets.token_urlsafe(32),)
        self._lifetime = lifetime
        self._remembered: dict[str | UUID, tuple[RowMapping, float]] = {}
        self._noting: dict[UUID, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Note what is to be noted, or give it up."""
        if self._noting:
            _, late = await asyncio.wait(self._noting.values(), timeout=_LAST_WORD)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def of_key(self, text: str) -> Principal:
        """Who has this key.

        Raises:
            RefusedError: nobody, or nobody any more.
            StoreUnavailableError: it cannot be told now.
        """
        parts = _KEY.fullmatch(text)
        row = await self._row(parts[1]) if parts else None
        if parts is None or row is None or not hmac.compare_digest(_hash(parts[2]), row["secret_sha256"]):
            raise RefusedError("the key is not known")
        return _principal(row)

    async def of_token(self, text: str) -> Principal:
        """Whose token this is. Raises as ``of_key``."""
        row = await self._row(self._subject(text))
        if row is None:
            raise RefusedError("the token's key is not known")
        return msgspec.structs.replace(_principal(row), by_token=True)

    def token_of(self, principal: Principal) -> tuple[str, timedelta]:
        """A new token of somebody's key, and how long it is good for."""
        now = datetime.now(UTC)
        told = {"iss": _ISSUER, "sub": str(principal.key_id), "jti": uuid4().hex}
        token = jwt.encode({**told, "iat": now, "exp": now + self._lifetime}, self._signing[0], algorithm=_ALGORITHM)
        return token, self._lifetime

    def _subject(self, token: str) -> UUID:
        for secret in self._signing:
            try:
                told: dict[str, Any] = jwt.decode(
                    token,
                    secret,
                    algorithms=[_ALGORITHM],
                    issuer=_ISSUER,
                    options={"require": ["exp", "iat", "jti", "sub"]},
                )
                return UUID(told["sub"])
            except jwt.ExpiredSignatureError as error:
                raise RefusedError("the token is out of date; ask for a new one with your key") from error
            except jwt.InvalidSignatureError:
                continue
            except (jwt.InvalidTokenError, ValueError) as error:
                raise RefusedError("the token is none of this server") from error
        raise RefusedError("the token is none of this server")

    async def _row(self, key: str | UUID) -> RowMapping | None:
        """The row of a key that is good now, by its prefix or its id."""
        row, since = self._remembered.get(key, (None, 0.0))
        if row is not None and monotonic() - since < _REMEMBERED:
            return row
        self._remembered.pop(key, None)
        async with self._store.glance() as uow:
            row = await (uow.api_keys.get(key) if isinstance(key, UUID) else uow.api_keys.of_prefix(key))
            now = uow.now
        if row is None or row["revoked_at"] is not None or (row["expires_at"] or now + timedelta(1)) <= now:
            return None
        if use_is_due(row, now) and row["id"] not in self._noting:  # who asks does not wait for those who write
            self._noting[row["id"]] = asyncio.create_task(self._note_use(row["id"]))
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[key] = row, monotonic()
        return row

    async def _note_use(self, key: UUID) -> None:
        try:
            async with self._store.begin() as uow:
                await uow.api_keys.note_use(key)
        except UnavailableError as error:
            log.warning("use_of_key_not_noted", key=str(key), problem=str(error))
        finally:
            del self._noting[key]


def scopes_named(words: Iterable[str]) -> frozenset[Scope]:
    """The scopes that a person names.

    Raises:
        ConfigurationError: one is unknown.
    """
    words = list(words)
    for word in words:
        if word not in list(Scope):
            raise ConfigurationError(f"--scope: {word} is none; there are {', '.join(Scope)}")
    return frozenset(map(Scope, words))


async def create_key(
    uow: UnitOfWork,
    author: Author,
    *,
    name: str,
    role: AccessRole,
    scopes: Collection[Scope] = (),
    expires_at: datetime | None = None,
) -> tuple[str, RowMapping]:
    """Make a key and note who did. The text of it is told here and nowhere again."""
    prefix, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    row = await uow.api_keys.add(
        id=uuid7(),
        prefix=prefix,
        secret_sha256=_hash(secret),
        name=name,
        role=role,
        scopes=sorted(scopes),
        expires_at=expires_at,
    )
    await uow.audit.note(author, "api_key.create", row["id"], after=row)
    return f"chk_{prefix}_{secret}", row


async def revoke_key(uow: UnitOfWork, author: Author, key: UUID) -> RowMapping:
    """Let a key be good for nothing, and note who did.

    Raises:
        NotFoundError: there is no such key.
    """
    before, row = await uow.api_keys.get(key), await uow.api_keys.revoke(key)
    if before is None or row is None:
        raise NotFoundError("there is no key with this id")
    if before["revoked_at"] is not None:
        return row
    await uow.audit.note(
        author, "api_key.revoke", key, before={"revoked_at": None}, after={"revoked_at": row["revoked_at"]}
    )
    return row


def _principal(row: RowMapping) -> Principal:
    scopes = frozenset(scope for scope in Scope if scope in row["scopes"])
    if row["scopes"] and not scopes:
        raise RefusedError("the key is confined to what this release does not know")
    return Principal(name=row["name"], role=row["role"], key_id=row["id"], scopes=scopes)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
