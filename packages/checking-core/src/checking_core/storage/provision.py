"""A database for us on PostgreSQL: role, database and schema, which an administrator makes once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import unicodedata
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncConnection

from checking_core.errors import ConfigurationError
from checking_core.storage.engine import open_writer, store_errors
from checking_core.storage.tables import SCHEMA

__all__ = ["provision", "scram_verifier", "setup_sql"]

_ROUNDS = 4096
_INSUFFICIENT_PRIVILEGE = "42501"


def setup_sql(role: str, database: str) -> str:
    """The SQL an administrator runs once on PostgreSQL: role, database and schema; the password is asked for."""
    quoted = {"role": _quoted(role), "database": _quoted(database)}
    return (
        "CREATE ROLE {role} LOGIN;\n"
        "\\password {role}\n"
        "CREATE DATABASE {database} OWNER {role} ENCODING 'UTF8' TEMPLATE template0;\n"
        "\\connect {database}\n"
        "CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {role};\n"
        "REVOKE ALL ON SCHEMA public FROM PUBLIC;\n"
    ).format(**quoted, schema=SCHEMA)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


async def provision(administrator: str, *, role: str, database: str, password: str | None) -> list[str]:
    """Create what is missing of role, database and schema; what is there stays as it is.

    Args:
        administrator: SQLAlchemy URL of somebody who may create roles and databases.
        role: who shall own and use the database.
        database: its name.
        password: of a role that is created; without one it cannot log in by password yet.

    Returns:
        A line for each of the three.

    Raises:
        ConfigurationError: the administrator may not do it.
        StoreUnavailableError: the server does not answer, or refuses the administrator.
    """
    done = []
    async with _connected(administrator) as connection:
        done.append(await _role(connection, role, password))
        is_new, told = await _database(connection, database, role)
        done.append(told)
    inside = sa.make_url(administrator).set(database=database).render_as_string(hide_password=False)
    async with _connected(inside) as connection:
        done.append(await _schema(connection, role))
        if is_new:  # a database that others use as well keeps its rules
            await connection.exec_driver_sql("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    return done


async def _role(connection: AsyncConnection, role: str, password: str | None) -> str:
    if await _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = :name", role):
        return f"The role {role} is there already; it keeps its password."
    secret = f" PASSWORD '{scram_verifier(password)}'" if password else ""
    await connection.exec_driver_sql(f"CREATE ROLE {_quoted(role)} LOGIN{secret}")
    return f"Created the role {role}." if password else f"Created the role {role}, which has no password yet."


async def _database(connection: AsyncConnection, database: str, role: str) -> tuple[bool, str]:
    if await _exists(connection, "SELECT 1 FROM pg_database WHERE datname = :name", database):
        return False, f"The database {database} is there already."
    name, owner = _quoted(database), _quoted(role)
    await connection.exec_driver_sql(f"CREATE DATABASE {name} OWNER {owner} ENCODING 'UTF8' TEMPLATE template0")
    return True, f"Created the database {database}."


async def _schema(connection: AsyncConnection, role: str) -> str:
    if await _exists(connection, "SELECT 1 FROM pg_namespace WHERE nspname = :name", SCHEMA):
        return f"The schema {SCHEMA} is there already."
    owner = _quoted(role)
    await connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA} AUTHORIZATION {owner}")
    return f"Created the schema {SCHEMA}."


async def _exists(connection: AsyncConnection, query: str, name: str) -> bool:
    return (await connection.execute(sa.text(query), {"name": name})).first() is not None


def scram_verifier(password: str, salt: bytes | None = None) -> str:
    """What PostgreSQL stores of a password (RFC 5803), so that the statement, and a log of it, does not hold it."""
    salt = salt or os.urandom(16)
    known = unicodedata.normalize("NFKC", password).encode()
    salted = hashlib.pbkdf2_hmac("sha256", known, salt, _ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    parts = (salt, stored, hmac.digest(salted, b"Server Key", "sha256"))
    shown = [base64.b64encode(part).decode() for part in parts]
    return f"SCRAM-SHA-256${_ROUNDS}:{shown[0]}${shown[1]}:{shown[2]}"


@contextmanager
def _forbidden() -> Iterator[None]:
    try:
        yield
    except exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _INSUFFICIENT_PRIVILEGE:
            raise
        why = getattr(error.orig, "__cause__", None) or error.orig
        raise ConfigurationError(f"the administrator may not do this: {why}") from error


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[AsyncConnection]:
    """A connection outside of any transaction, as CREATE DATABASE wants it."""
    engine = open_writer(url).execution_options(isolation_level="AUTOCOMMIT")
    try:
        with store_errors(), _forbidden():
            async with engine.connect() as connection:
                yield connection
    finally:
        await engine.dispose()
